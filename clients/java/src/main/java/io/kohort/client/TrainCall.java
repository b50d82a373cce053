// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.Duration;
import com.google.protobuf.ListValue;
import com.google.protobuf.Value;
import io.kohort.v1.Alert;
import io.kohort.v1.EvaluationOptions;
import io.kohort.v1.SchemaOverrides;
import io.kohort.v1.TrainRequest;
import io.kohort.v1.TrainResponse;
import io.kohort.v1.TrainingServiceGrpc;
import java.util.Collection;
import java.util.Objects;
import java.util.UUID;

/** What to train on what. Used by one thread at a time. */
public final class TrainCall {
  private static final long LARGEST_EXACT = 1L << 53;

  private final Connection connection;
  private final TrainRequest.Builder request;

  TrainCall(Connection connection, String dataset) {
    this.connection = connection;
    this.request = TrainRequest.newBuilder().setDataset(dataset);
  }

  /**
   * Names the algorithm.
   *
   * @param trainer one of {@link KohortClient#capabilities()}; by default the server's
   * @return this
   */
  public TrainCall trainer(String trainer) {
    request.setTrainer(trainer);
    return this;
  }

  /**
   * Sets a parameter of the trainer.
   *
   * @param name its name
   * @param value a number, boolean, string or collection of these
   * @return this
   * @throws IllegalArgumentException the value is something else, or a whole number beyond 2^53
   */
  public TrainCall parameter(String name, Object value) {
    request.getParametersBuilder().putFields(name, value(name, value));
    return this;
  }

  private static Value value(String name, Object value) {
    Value.Builder built = Value.newBuilder();
    if (value instanceof Boolean) {
      return built.setBoolValue((Boolean) value).build();
    }
    if (value instanceof CharSequence) {
      return built.setStringValue(value.toString()).build();
    }
    if (value instanceof Number) {
      Number number = (Number) value;
      if (value instanceof Long && Math.abs(number.doubleValue()) > LARGEST_EXACT) {
        throw new IllegalArgumentException("parameter " + name + ": whole numbers end at 2^53");
      }
      return built.setNumberValue(number.doubleValue()).build();
    }
    if (value instanceof Collection) {
      ListValue.Builder list = ListValue.newBuilder();
      ((Collection<?>) value).forEach(element -> list.addValues(value(name, element)));
      return built.setListValue(list).build();
    }
    throw new IllegalArgumentException("parameter " + name + " is no number, boolean, string or collection");
  }

  /**
   * Makes training repeatable on one machine.
   *
   * @param seed by default drawn and recorded
   * @return this
   */
  public TrainCall seed(long seed) {
    request.setSeed(seed);
    return this;
  }

  /**
   * Changes the dataset's schema for this job.
   *
   * @param overrides what to change
   * @return this
   */
  public TrainCall overrides(SchemaOverrides overrides) {
    request.setSchemaOverrides(overrides);
    return this;
  }

  /**
   * Values that fewer patients share are never learned as such.
   *
   * @param patients at least 2; by default as the server does
   * @return this
   */
  public TrainCall minPatients(int patients) {
    request.setMinPatientsPerValue(patients);
    return this;
  }

  /**
   * At most so many rows of one patient are learned.
   *
   * @param rows by default as the server does
   * @return this
   */
  public TrainCall maxRowsPerPatient(int rows) {
    request.setMaxRowsPerPatient(rows);
    return this;
  }

  /**
   * Every patient counts the same, however many rows are theirs.
   *
   * @return this
   */
  public TrainCall weightPatientsEqually() {
    request.setWeightPatientsEqually(true);
    return this;
  }

  /**
   * The share of the patients kept aside for evaluation alone.
   *
   * @param fraction by default 0.2
   * @return this
   */
  public TrainCall holdout(double fraction) {
    request.setHoldoutFraction(fraction);
    return this;
  }

  /**
   * The share of the patients for early stopping.
   *
   * @param fraction by default 0.1
   * @return this
   */
  public TrainCall validation(double fraction) {
    request.setValidationFraction(fraction);
    return this;
  }

  /**
   * Where to train.
   *
   * @param device a device kind or slot of {@link KohortClient#capabilities()}; by default any
   * @return this
   */
  public TrainCall device(String device) {
    request.setDevice(device);
    return this;
  }

  /**
   * How long the job may run, all attempts together.
   *
   * @param limit by default the server's cap
   * @return this
   */
  public TrainCall maxRuntime(java.time.Duration limit) {
    request.setMaxRuntime(Duration.newBuilder().setSeconds(limit.getSeconds()).setNanos(limit.getNano()));
    return this;
  }

  /**
   * How the model is evaluated before it is published.
   *
   * @param options by default as the server does
   * @return this
   */
  public TrainCall evaluation(EvaluationOptions options) {
    request.setEvaluation(options);
    return this;
  }

  /**
   * Adds what to watch while fitting.
   *
   * @param alert one of at most 16
   * @return this
   */
  public TrainCall alert(Alert alert) {
    request.addAlerts(alert);
    return this;
  }

  /**
   * A name for people; the model takes it over.
   *
   * @param displayName at most 200 characters
   * @return this
   */
  public TrainCall displayName(String displayName) {
    request.setDisplayName(displayName);
    return this;
  }

  /**
   * A label for programs; the model takes it over.
   *
   * @param key at most 63 characters
   * @param value at most 63 characters
   * @return this
   */
  public TrainCall label(String key, String value) {
    request.putLabels(key, value);
    return this;
  }

  /**
   * Makes repeats of this very request safe, from any process. By default a fresh id covers the tries of this call.
   *
   * @param requestId chosen by the caller
   * @return this
   */
  public TrainCall requestId(UUID requestId) {
    request.setRequestId(Objects.requireNonNull(requestId).toString());
    return this;
  }

  /**
   * Starts the job and returns as soon as the server has stored it.
   *
   * @return its handle
   * @throws InvalidRequestException a parameter, an override or the data breaks a rule
   * @throws FailedPreconditionException {@code IDENTIFIER_UNACKNOWLEDGED} and others
   * @throws OverloadedException the queue is full
   */
  public Job start() {
    TrainRequest.Builder complete = request.clone();
    if (complete.getRequestId().isEmpty()) {
      complete.setRequestId(UUID.randomUUID().toString());
    }
    return new Job(
        connection,
        Jobs.first(
            connection,
            TrainingServiceGrpc.getTrainMethod(),
            complete.build(),
            (TrainResponse message) -> message.getUpdate().hasJob() ? message.getUpdate().getJob() : null));
  }
}
