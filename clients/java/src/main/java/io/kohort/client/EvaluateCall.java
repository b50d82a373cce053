// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.EvaluateRequest;
import io.kohort.v1.EvaluateResponse;
import io.kohort.v1.EvaluationOptions;
import io.kohort.v1.EvaluationServiceGrpc;
import java.util.Objects;
import java.util.UUID;

/** What to evaluate against what. Used by one thread at a time. */
public final class EvaluateCall {
  private final Connection connection;
  private final EvaluateRequest.Builder request;

  private EvaluateCall(Connection connection, EvaluateRequest.Builder request) {
    this.connection = connection;
    this.request = request;
  }

  static EvaluateCall ofModel(Connection connection, String model) {
    return new EvaluateCall(connection, EvaluateRequest.newBuilder().setModel(model));
  }

  static EvaluateCall ofRows(Connection connection, String synthetic, String real) {
    return new EvaluateCall(
        connection, EvaluateRequest.newBuilder().setSyntheticDataset(synthetic).setDataset(real));
  }

  /**
   * The real rows, for an imported model. A model that was trained on the server needs none.
   *
   * @param dataset "datasets/{id}"
   * @return this
   */
  public EvaluateCall dataset(String dataset) {
    request.setDataset(dataset);
    return this;
  }

  /**
   * Real patients whom the generator never saw, for rows made elsewhere and imported models.
   *
   * @param dataset "datasets/{id}"
   * @return this
   */
  public EvaluateCall holdout(String dataset) {
    request.setHoldoutDataset(dataset);
    return this;
  }

  /**
   * How to evaluate.
   *
   * @param options by default the standard profile
   * @return this
   */
  public EvaluateCall options(EvaluationOptions options) {
    request.setOptions(options);
    return this;
  }

  /**
   * A name for people.
   *
   * @param displayName at most 200 characters
   * @return this
   */
  public EvaluateCall displayName(String displayName) {
    request.setDisplayName(displayName);
    return this;
  }

  /**
   * A label for programs.
   *
   * @param key at most 63 characters
   * @param value at most 63 characters
   * @return this
   */
  public EvaluateCall label(String key, String value) {
    request.putLabels(key, value);
    return this;
  }

  /**
   * Makes repeats of this very request safe, from any process. By default a fresh id covers the tries of this call.
   *
   * @param requestId chosen by the caller
   * @return this
   */
  public EvaluateCall requestId(UUID requestId) {
    request.setRequestId(Objects.requireNonNull(requestId).toString());
    return this;
  }

  /**
   * Starts the evaluation and returns as soon as the server has stored it.
   *
   * @return its handle; {@link Job#report()} waits for the report
   * @throws OverloadedException it was evaluated often enough today, or the queue is full
   */
  public Job start() {
    EvaluateRequest.Builder complete = request.clone();
    if (complete.getRequestId().isEmpty()) {
      complete.setRequestId(UUID.randomUUID().toString());
    }
    return new Job(
        connection,
        Jobs.first(connection, EvaluationServiceGrpc.getEvaluateMethod(), complete.build(), this::job));
  }

  private io.kohort.v1.Job job(EvaluateResponse message) {
    // A finished evaluation that is asked for again gives its report alone.
    if (message.hasReport()) {
      return Jobs.get(connection, message.getReport().getJob());
    }
    return message.getUpdate().hasJob() ? message.getUpdate().getJob() : null;
  }
}
