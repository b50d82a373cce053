// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.Status;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** What is known of a failed call: the fields of an {@link RpcException}. Immutable. */
final class Failure implements Serializable {
  private static final long serialVersionUID = 1;

  final Status.Code code;
  final String reason;
  final String message;
  final Map<String, String> metadata;
  final List<Violation> violations;
  final Duration retryAfter;
  final String requestId;
  final String hint;

  Failure(
      Status.Code code,
      String reason,
      String message,
      Map<String, String> metadata,
      List<Violation> violations,
      Duration retryAfter,
      String requestId,
      String hint) {
    this.code = code;
    this.reason = reason;
    this.message = message;
    this.metadata = Map.copyOf(metadata);
    this.violations = List.copyOf(violations);
    this.retryAfter = retryAfter;
    this.requestId = requestId;
    this.hint = hint;
  }

  /** A failure that this side found. */
  static Failure local(Status.Code code, String reason, String message, String requestId, String hint) {
    return new Failure(code, reason, message, Map.of(), List.of(), null, requestId, hint);
  }

  String text() {
    StringBuilder text = new StringBuilder(reason.isEmpty() ? code.name() : reason).append(": ").append(message);
    for (Violation violation : violations) {
      // A message about one field often is its violation.
      if (!message.contains(violation.toString())) {
        text.append("\n  ").append(violation);
      }
    }
    if (!hint.isEmpty()) {
      text.append('\n').append(hint);
    }
    return text.toString();
  }

  /** The exception of this failure: that of its reason, else that of its code. */
  RpcException exception() {
    switch (reason) {
      case "CONDITION_UNSUPPORTED":
        return new ConditionUnsupportedException(this);
      case "COHORT_TOO_SMALL":
        return new CohortTooSmallException(this);
      case "CONDITION_UNSATISFIED":
        return new ConditionUnsatisfiedException(this);
      case "MODEL_LOCKED":
        return new ModelLockedException(this);
      default:
        return ofCode();
    }
  }

  private RpcException ofCode() {
    switch (code) {
      case INVALID_ARGUMENT:
      case OUT_OF_RANGE:
        return new InvalidRequestException(this);
      case NOT_FOUND:
        return new NotFoundException(this);
      case ALREADY_EXISTS:
        return new AlreadyExistsException(this);
      case PERMISSION_DENIED:
        return new PermissionDeniedException(this);
      case UNAUTHENTICATED:
        return new UnauthenticatedException(this);
      case FAILED_PRECONDITION:
        return new FailedPreconditionException(this);
      case ABORTED:
        return new ConflictException(this);
      case RESOURCE_EXHAUSTED:
        return new OverloadedException(this);
      case UNAVAILABLE:
        return new UnavailableException(this);
      case DEADLINE_EXCEEDED:
        return new DeadlineExceededException(this);
      case UNIMPLEMENTED:
        return new UnimplementedException(this);
      case CANCELLED:
        return new CallCancelledException(this);
      case INTERNAL:
      case UNKNOWN:
      case DATA_LOSS:
        return new ServerErrorException(this);
      default:
        return new RpcException(this);
    }
  }
}
