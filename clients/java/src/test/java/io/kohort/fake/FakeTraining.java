// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.kohort.v1.CancelRequest;
import io.kohort.v1.CancelResponse;
import io.kohort.v1.GetJobRequest;
import io.kohort.v1.GetJobResponse;
import io.kohort.v1.Job;
import io.kohort.v1.JobError;
import io.kohort.v1.JobEvent;
import io.kohort.v1.JobState;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.PhaseStarted;
import io.kohort.v1.Progress;
import io.kohort.v1.StateChanged;
import io.kohort.v1.StatusRequest;
import io.kohort.v1.StatusResponse;
import io.kohort.v1.TrainRequest;
import io.kohort.v1.TrainResponse;
import io.kohort.v1.TrainingServiceGrpc;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One job, "jobs/1", whose history is there at once: running, fitting, so many steps of progress, and its end. While
 * it is held it does not end.
 */
public final class FakeTraining extends TrainingServiceGrpc.TrainingServiceImplBase {
  private final int steps;
  private final List<TrainRequest> requests = new CopyOnWriteArrayList<>();
  private final List<StatusRequest> followers = new CopyOnWriteArrayList<>();
  private final AtomicInteger sent = new AtomicInteger();
  private JobState end = JobState.JOB_STATE_SUCCEEDED;
  private boolean held;
  private int breakAfter = Integer.MAX_VALUE;
  private StatusRuntimeException broken;

  /** A job of so many steps. */
  public FakeTraining(int steps) {
    this.steps = steps;
  }

  /** How the job ends. */
  public synchronized FakeTraining ending(JobState state) {
    end = state;
    return this;
  }

  /** Does not let the job end. */
  public synchronized FakeTraining hold() {
    held = true;
    return this;
  }

  /** Lets it end. */
  public synchronized void release() {
    held = false;
    notifyAll();
  }

  /** Every Status stream breaks after so many messages; null: it ends well, but too early. */
  public synchronized FakeTraining breaking(int after, StatusRuntimeException error) {
    breakAfter = after;
    broken = error;
    return this;
  }

  /** The requests to train. */
  public List<TrainRequest> requests() {
    return requests;
  }

  /** The requests to follow. */
  public List<StatusRequest> followers() {
    return followers;
  }

  /** Updates that Status streams have handed to gRPC. */
  public int sent() {
    return sent.get();
  }

  private synchronized Job job() {
    Job.Builder job =
        Job.newBuilder().setName("jobs/1").setState(held ? JobState.JOB_STATE_RUNNING : end).setTrainer("fake");
    if (!held && end == JobState.JOB_STATE_SUCCEEDED) {
      job.setModel("models/1").setReport("reports/1");
    } else if (!held && end == JobState.JOB_STATE_FAILED) {
      job.setError(
          JobError.newBuilder().setReason("TRAINING_DIVERGED").setMessage("losses are NaN").setColumn("age"));
    }
    return job.build();
  }

  /** The whole history: events 1 to steps + 3. */
  private List<JobEvent> history() {
    List<JobEvent> events = new ArrayList<>();
    events.add(event(1).setStateChanged(state(JobState.JOB_STATE_RUNNING)).build());
    events.add(event(2).setPhaseStarted(PhaseStarted.newBuilder().setPhase("fitting")).build());
    for (int step = 1; step <= steps; step++) {
      events.add(
          event(2 + step).setProgress(Progress.newBuilder().setStep(step).setTotalSteps(steps)).build());
    }
    events.add(event(3 + steps).setStateChanged(state(end)).build());
    return events;
  }

  private static JobEvent.Builder event(long sequence) {
    return JobEvent.newBuilder().setSequence(sequence).setAttempt(1);
  }

  private static StateChanged state(JobState state) {
    return StateChanged.newBuilder().setState(state).build();
  }

  @Override
  public void train(TrainRequest request, StreamObserver<TrainResponse> answer) {
    requests.add(request);
    JobUpdate update = JobUpdate.newBuilder().setJob(job().toBuilder().setState(JobState.JOB_STATE_QUEUED)).build();
    // The stream stays open, as that of a job under way does.
    answer.onNext(TrainResponse.newBuilder().setUpdate(update).build());
  }

  @Override
  public void status(StatusRequest request, StreamObserver<StatusResponse> answer) {
    followers.add(request);
    int limit;
    StatusRuntimeException error;
    synchronized (this) {
      limit = breakAfter;
      error = broken;
    }
    List<JobUpdate> updates = new ArrayList<>();
    Job first = job().toBuilder().setState(JobState.JOB_STATE_RUNNING).clearModel().clearError().build();
    updates.add(JobUpdate.newBuilder().setSequence(request.getAfterSequence()).setJob(first).build());
    for (JobEvent event : history()) {
      if (event.getSequence() > request.getAfterSequence()) {
        updates.add(JobUpdate.newBuilder().setSequence(event.getSequence()).setEvent(event).build());
      }
    }
    for (int i = 0; i < updates.size(); i++) {
      if (i == limit) {
        if (error == null) {
          answer.onCompleted();
        } else {
          answer.onError(error);
        }
        return;
      }
      if (i == updates.size() - 1) {
        awaitRelease();
      }
      answer.onNext(StatusResponse.newBuilder().setUpdate(updates.get(i)).build());
      sent.incrementAndGet();
    }
    answer.onNext(
        StatusResponse.newBuilder()
            .setUpdate(JobUpdate.newBuilder().setSequence(3 + steps).setJob(job()))
            .build());
    answer.onCompleted();
  }

  private synchronized void awaitRelease() {
    while (held) {
      try {
        wait();
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        return;
      }
    }
  }

  @Override
  public void cancel(CancelRequest request, StreamObserver<CancelResponse> answer) {
    synchronized (this) {
      end = JobState.JOB_STATE_CANCELLED;
    }
    Job job = job().toBuilder().setState(JobState.JOB_STATE_CANCELLING).build();
    answer.onNext(CancelResponse.newBuilder().setUpdate(JobUpdate.newBuilder().setJob(job)).build());
    release();
  }

  @Override
  public void getJob(GetJobRequest request, StreamObserver<GetJobResponse> answer) {
    if (!request.getName().equals("jobs/1")) {
      answer.onError(Errors.of(Status.Code.NOT_FOUND, "JOB_NOT_FOUND", "no such job"));
      return;
    }
    answer.onNext(GetJobResponse.newBuilder().setJob(job()).build());
    answer.onCompleted();
  }
}
