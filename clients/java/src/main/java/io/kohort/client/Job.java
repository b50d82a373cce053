// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.CancelRequest;
import io.kohort.v1.CancelResponse;
import io.kohort.v1.JobState;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.Model;
import io.kohort.v1.Report;
import io.kohort.v1.TrainingServiceGrpc;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/**
 * A job on the server. It lives apart from this handle and from every connection. Safe to use from several threads.
 */
public final class Job {
  private final Connection connection;
  private volatile io.kohort.v1.Job info;

  Job(Connection connection, io.kohort.v1.Job info) {
    this.connection = connection;
    this.info = info;
  }

  /**
   * Attaches to this job again, from any process: {@link KohortClient#job}.
   *
   * @return "jobs/{id}"
   */
  public String name() {
    return info.getName();
  }

  /**
   * The job as this handle last saw it.
   *
   * @return the job; {@link #refresh()} asks anew
   */
  public io.kohort.v1.Job info() {
    return info;
  }

  /**
   * Asks for the job as it is now.
   *
   * @return the job
   */
  public io.kohort.v1.Job refresh() {
    // Not read back from `info`: by then another thread may have put there what it saw before.
    io.kohort.v1.Job now = Jobs.get(connection, name());
    info = now;
    return now;
  }

  /**
   * The job's history and then its news until it is over: the job as it is, then each event once, and the job again
   * whenever its state changes. Survives lost connections.
   *
   * @return waits for news; close it to leave early
   */
  public CloseableIterator<JobUpdate> events() {
    return events(0);
  }

  /**
   * The same from a place in the history.
   *
   * @param afterSequence events up to this one are known; see {@code JobUpdate.sequence}
   * @return waits for news; close it to leave early
   */
  public CloseableIterator<JobUpdate> events(long afterSequence) {
    return updates(afterSequence, null);
  }

  private JobUpdates updates(long afterSequence, Duration timeout) {
    return new JobUpdates(connection, connection.attempts(timeout), watch(afterSequence));
  }

  private JobWatch watch(long afterSequence) {
    return new JobWatch(name(), afterSequence, job -> info = job);
  }

  /**
   * The same as {@link #events()} for subscribers. No more is asked of the server than subscribers demand, so a slow
   * one fills no memory. Each subscription follows the job on its own, from the start.
   *
   * @return signals on the client's executor; errors as {@link #events()} throws them
   */
  public Flow.Publisher<JobUpdate> progress() {
    return progress(0);
  }

  /**
   * The same from a place in the history.
   *
   * @param afterSequence events up to this one are known
   * @return see {@link #progress()}
   */
  public Flow.Publisher<JobUpdate> progress(long afterSequence) {
    return subscriber -> {
      JobWatch watch = watch(afterSequence);
      Delivery.start(connection, null, watch, watch::take, subscriber);
    };
  }

  /**
   * Waits until the job is over, however it ends.
   *
   * @return the job as it ended
   */
  public io.kohort.v1.Job await() {
    return await(null);
  }

  /**
   * The same with a limit; the job goes on when it is over.
   *
   * @param timeout null for none
   * @return the job as it ended
   * @throws DeadlineExceededException the timeout was over first
   */
  public io.kohort.v1.Job await(Duration timeout) {
    try (JobUpdates updates = updates(0, timeout)) {
      while (updates.hasNext()) {
        updates.next();
      }
    }
    return refresh();
  }

  /**
   * Waits for the model.
   *
   * @return the model
   * @throws JobFailedException the job failed
   * @throws JobCancelledException the job was cancelled
   * @throws IllegalStateException the job is an evaluation: see {@link #report()}
   */
  public Model result() {
    return result(null);
  }

  /**
   * The same with a limit; the job goes on when it is over.
   *
   * @param timeout null for none
   * @return the model
   * @throws DeadlineExceededException the timeout was over first
   * @throws JobFailedException the job failed
   * @throws JobCancelledException the job was cancelled
   */
  public Model result(Duration timeout) {
    return model(await(timeout));
  }

  private Model model(io.kohort.v1.Job ended) {
    check(ended);
    if (ended.getModel().isEmpty()) {
      throw new IllegalStateException(name() + " is an evaluation: it has a report, no model");
    }
    return Models.get(connection, ended.getModel());
  }

  /**
   * Waits for the model without a thread. Cancelling the future leaves the job alone; see {@link #cancel()}.
   *
   * @return completes on the client's executor; exceptionally as {@link #result()} throws
   */
  public CompletableFuture<Model> resultAsync() {
    Ending over = new Ending();
    progress().subscribe(over);
    CompletableFuture<Model> result = over.thenApplyAsync(nothing -> model(refresh()), connection.executor());
    result.whenComplete((model, error) -> over.cancel(false));
    return result;
  }

  /**
   * Waits for the report: that of an evaluation, or of the model that was trained.
   *
   * @return the report
   * @throws NotFoundException the model was not evaluated
   * @throws JobFailedException the job failed
   * @throws JobCancelledException the job was cancelled
   */
  public Report report() {
    io.kohort.v1.Job ended = await(null);
    check(ended);
    if (ended.getReport().isEmpty()) {
      throw Failure.local(
              io.grpc.Status.Code.NOT_FOUND,
              "REPORT_NOT_FOUND",
              name() + " has no report: its model was not evaluated",
              "",
              "")
          .exception();
    }
    return new Reports(connection).get(ended.getReport());
  }

  private static void check(io.kohort.v1.Job ended) {
    if (ended.getState() == JobState.JOB_STATE_FAILED) {
      throw new JobFailedException(ended);
    }
    if (ended.getState() == JobState.JOB_STATE_CANCELLED) {
      throw new JobCancelledException(ended);
    }
  }

  /**
   * Asks the job to stop; safe to repeat. A job that ended first stays as it ended.
   *
   * @return the job once the stop is noted
   */
  public io.kohort.v1.Job cancel() {
    io.kohort.v1.Job noted =
        Jobs.first(
            connection,
            TrainingServiceGrpc.getCancelMethod(),
            CancelRequest.newBuilder().setJob(name()).build(),
            (CancelResponse message) -> message.getUpdate().hasJob() ? message.getUpdate().getJob() : null);
    info = noted;
    return noted;
  }

  @Override
  public String toString() {
    return name() + " " + info.getState();
  }
}
