// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call failed. Its subclasses name the cases that callers treat differently; the gRPC exception, where there was
 * one, is the cause. The text holds the reason (or code), the message, the violations and the hint.
 */
public class RpcException extends KohortException {
  private static final long serialVersionUID = 1;

  private final Failure failure;

  RpcException(Failure failure) {
    super(failure.text());
    this.failure = failure;
  }

  /**
   * The gRPC code.
   *
   * @return never {@code OK}
   */
  public Status.Code code() {
    return failure.code;
  }

  /**
   * A stable reason of the contract, such as {@code DATASET_EXPIRED}.
   *
   * @return the reason; empty when the error does not come from a Kohort server
   */
  public String reason() {
    return failure.reason;
  }

  /**
   * What happened, for people, alone: without reason, violations and hint.
   *
   * @return the message; holds no cell value
   */
  public String message() {
    return failure.message;
  }

  /**
   * Short facts for programs.
   *
   * @return an immutable map
   */
  public Map<String, String> metadata() {
    return failure.metadata;
  }

  /**
   * The fields or columns at fault.
   *
   * @return an immutable list, often empty
   */
  public List<Violation> violations() {
    return failure.violations;
  }

  /**
   * How long the server asks to wait before a repeat makes sense.
   *
   * @return empty where it does not say
   */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(failure.retryAfter);
  }

  /**
   * Finds the call in the server's log.
   *
   * @return the id; empty where no call was made
   */
  public String requestId() {
    return failure.requestId;
  }

  /**
   * What to check, where the cause is likely outside of the request.
   *
   * @return one or two sentences, or empty
   */
  public String hint() {
    return failure.hint;
  }
}
