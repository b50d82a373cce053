// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/** gRPC statuses as {@link RpcException}. Safe to use from several threads. */
final class Statuses {
  static final String REQUEST_ID = "x-request-id";
  static final String CLOSED = "the client was closed";
  static final String INTERRUPTED = "the waiting thread was interrupted";

  private static final String DOMAIN = "kohort";
  private static final Metadata.Key<String> REQUEST_ID_KEY = Connection.key(REQUEST_ID);

  private final Endpoint endpoint;
  private final BooleanSupplier closed;

  Statuses(Endpoint endpoint, BooleanSupplier closed) {
    this.endpoint = endpoint;
    this.closed = closed;
  }

  /** The typed exception; the gRPC one becomes its cause. */
  RpcException exception(StatusRuntimeException error, String requestId) {
    RpcException typed = failure(error.getStatus(), error.getTrailers(), requestId).exception();
    typed.initCause(error);
    return typed;
  }

  /** No connection within the connect timeout. */
  RpcException notConnected(Duration timeout, String requestId) {
    return Failure.local(
            Status.Code.UNAVAILABLE,
            Connection.CONNECT_TIMEOUT,
            "no connection within " + timeout.toMillis() / 1000.0 + " s",
            requestId,
            Hints.unreachable(endpoint))
        .exception();
  }

  private Failure failure(Status status, Metadata trailers, String requestId) {
    Status.Code code = Hints.code(status);
    if (closed.getAsBoolean() && (code == Status.Code.UNAVAILABLE || code == Status.Code.CANCELLED)) {
      return Failure.local(Status.Code.CANCELLED, "", CLOSED, requestId, "");
    }
    if (code == Status.Code.CANCELLED && Thread.currentThread().isInterrupted()) {
      return Failure.local(code, "", INTERRUPTED, requestId, "");
    }
    Details details = new Details();
    if (trailers != null) {
      details.read(status, trailers);
      String told = trailers.get(REQUEST_ID_KEY);
      requestId = told == null ? requestId : told;
    }
    String named = details.metadata.remove("request_id");
    String message = details.message.isEmpty() ? Hints.message(status) : details.message;
    String hint = details.ours ? "" : Hints.hint(status, endpoint);
    return new Failure(
        code,
        details.reason,
        message,
        details.metadata,
        details.violations,
        details.retryAfter,
        named == null || named.isEmpty() ? requestId : named,
        hint);
  }

  /** What the details of a status say. */
  private static final class Details {
    private final Map<String, String> metadata = new HashMap<>();
    private final List<Violation> violations = new ArrayList<>();
    private String message = "";
    private String reason = "";
    private Duration retryAfter;
    private boolean ours;

    void read(Status status, Metadata trailers) {
      com.google.rpc.Status told = StatusProto.fromStatusAndTrailers(status, trailers);
      if (told == null) {
        return;
      }
      for (Any detail : told.getDetailsList()) {
        try {
          read(detail);
        } catch (InvalidProtocolBufferException unreadable) {
          continue;
        }
      }
      message = ours ? told.getMessage() : "";
    }

    private void read(Any detail) throws InvalidProtocolBufferException {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo info = detail.unpack(ErrorInfo.class);
        if (info.getDomain().equals(DOMAIN)) {
          reason = info.getReason();
          metadata.putAll(info.getMetadataMap());
          ours = true;
        }
      } else if (detail.is(BadRequest.class)) {
        for (BadRequest.FieldViolation each : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          violations.add(new Violation(each.getField(), each.getDescription()));
        }
      } else if (detail.is(RetryInfo.class)) {
        com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
        retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
      }
    }
  }
}
