// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.MethodDescriptor;
import io.kohort.v1.Job;
import io.kohort.v1.JobEvent;
import io.kohort.v1.JobState;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.StatusRequest;
import io.kohort.v1.StatusResponse;
import io.kohort.v1.TrainingServiceGrpc;
import java.util.function.Consumer;

/** A Status stream: what has been read of a job's history, and from where to go on. */
final class JobWatch implements Resumable<StatusRequest, StatusResponse> {
  private final String name;
  private final Consumer<Job> seen;
  private long sequence;
  private Job job;
  private JobUpdate update;

  /**
   * Begins behind a place in the history.
   *
   * @param name the job
   * @param afterSequence events up to this one are known
   * @param seen told the job as it is after each update
   */
  JobWatch(String name, long afterSequence, Consumer<Job> seen) {
    this.name = name;
    this.sequence = afterSequence;
    this.seen = seen;
  }

  static boolean terminal(Job job) {
    return job.getState() == JobState.JOB_STATE_SUCCEEDED
        || job.getState() == JobState.JOB_STATE_FAILED
        || job.getState() == JobState.JOB_STATE_CANCELLED;
  }

  /** What the last message brought, once; null where it was nothing new. */
  JobUpdate take() {
    JobUpdate taken = update;
    update = null;
    return taken;
  }

  @Override
  public MethodDescriptor<StatusRequest, StatusResponse> method() {
    return TrainingServiceGrpc.getStatusMethod();
  }

  @Override
  public StatusRequest request() {
    return StatusRequest.newBuilder().setJob(name).setAfterSequence(sequence).build();
  }

  @Override
  public void receive(StatusResponse message) {
    JobUpdate came = message.getUpdate();
    long reached = came.getSequence();
    if (came.hasJob()) {
      job = came.getJob();
    } else if (came.hasEvent()) {
      JobEvent event = came.getEvent();
      // A resumed stream may begin with what is known.
      if (event.getSequence() <= sequence) {
        return;
      }
      if (job == null) {
        throw new IntegrityException(name + ": the stream did not begin with the job");
      }
      job = moved(job, event);
      reached = Math.max(reached, event.getSequence());
    }
    sequence = Math.max(sequence, reached);
    if (came.hasJob() || came.hasEvent()) {
      seen.accept(job);
      update = came;
    }
  }

  /** The job after an event; the server sends the whole job only when its state changes. */
  private static Job moved(Job job, JobEvent event) {
    Job.Builder moved = job.toBuilder().setAttempt(event.getAttempt());
    switch (event.getDetailCase()) {
      case PROGRESS:
        return moved.setProgress(event.getProgress()).build();
      case PHASE_STARTED:
        return moved.setPhase(event.getPhaseStarted().getPhase()).build();
      case STATE_CHANGED:
        JobState state = event.getStateChanged().getState();
        moved.setState(state);
        if (state == JobState.JOB_STATE_QUEUED || state == JobState.JOB_STATE_RUNNING) {
          // Told again from the start, an attempt has not the steps that the job has reached since.
          moved.clearPhase().clearProgress();
        }
        return moved.build();
      default:
        return job;
    }
  }

  @Override
  public boolean ended() {
    return job != null && terminal(job);
  }

  /** Events that the server no longer keeps are skipped; the job itself says where it stands. */
  @Override
  public boolean broken(RpcException error) {
    if (!error.reason().equals("EVENTS_COMPACTED")) {
      return false;
    }
    String oldest = error.metadata().getOrDefault("oldest", "");
    if (!oldest.matches("[0-9]{1,18}") || Long.parseLong(oldest) - 1 <= sequence) {
      return false;
    }
    sequence = Long.parseLong(oldest) - 1;
    return true;
  }
}
