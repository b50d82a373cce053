// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

/** Errors as a Kohort server sends them. */
public final class Errors {
  private Errors() {}

  /** An error with its reason and any further details. */
  public static StatusRuntimeException of(Status.Code code, String reason, String message, Message... details) {
    ErrorInfo info = ErrorInfo.newBuilder().setDomain("kohort").setReason(reason).build();
    return with(code, message, info, details);
  }

  /** An error with an ErrorInfo of one's own. */
  public static StatusRuntimeException with(Status.Code code, String message, ErrorInfo info, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage(message).addDetails(Any.pack(info));
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  /** A time to wait. */
  public static RetryInfo retryAfter(long millis) {
    Duration delay =
        Duration.newBuilder().setSeconds(millis / 1000).setNanos((int) (millis % 1000) * 1_000_000).build();
    return RetryInfo.newBuilder().setRetryDelay(delay).build();
  }

  /** A field at fault. */
  public static BadRequest violation(String field, String description) {
    return BadRequest.newBuilder()
        .addFieldViolations(
            BadRequest.FieldViolation.newBuilder().setField(field).setDescription(description))
        .build();
  }
}
