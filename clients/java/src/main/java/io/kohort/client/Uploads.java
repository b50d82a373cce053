// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.kohort.v1.Dataset;
import io.kohort.v1.DatasetServiceGrpc;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadHeader;
import java.util.Iterator;
import java.util.UUID;
import java.util.function.Supplier;

/** Client streams: sent no faster than the connection takes them, and from the start again where that is safe. */
final class Uploads {
  private Uploads() {}

  /**
   * Uploads a dataset.
   *
   * @param connection to send it on
   * @param header a missing request id is filled in, so that tries are one upload
   * @param parts what follows the header, from the start each time; what they throw ends the call
   * @return what is stored
   * @throws RpcException of the last try
   */
  static Dataset send(
      Connection connection, UploadHeader header, Supplier<? extends Iterator<UploadDatasetRequest>> parts) {
    UploadHeader sent =
        header.getRequestId().isEmpty()
            ? header.toBuilder().setRequestId(UUID.randomUUID().toString()).build()
            : header;
    UploadDatasetRequest first = UploadDatasetRequest.newBuilder().setHeader(sent).build();
    return send(connection, DatasetServiceGrpc.getUploadDatasetMethod(), first, parts).getDataset();
  }

  /** Sends any client stream under the transfer timeout; its first message makes repeats safe. */
  static <Q, R> R send(
      Connection connection, MethodDescriptor<Q, R> method, Q first, Supplier<? extends Iterator<Q>> parts) {
    return connection.retried(
        connection.attempts(connection.timeouts().transfer()),
        attempts -> {
          connection.awaitConnection(attempts);
          return new Try<Q, R>(connection, attempts).send(method, first, parts.get());
        });
  }

  /** One try. */
  private static final class Try<Q, R> extends ClientCall.Listener<R> {
    private final Connection connection;
    private final Attempts attempts;
    private R answer;
    private Status status;
    private Metadata trailers;

    Try(Connection connection, Attempts attempts) {
      this.connection = connection;
      this.attempts = attempts;
    }

    R send(MethodDescriptor<Q, R> method, Q first, Iterator<Q> parts) {
      ClientCall<Q, R> call = connection.channel().newCall(method, connection.options(attempts));
      call.start(this, connection.headers(attempts));
      call.request(1);
      try {
        call.sendMessage(first);
        while (ready(call) && parts.hasNext()) {
          call.sendMessage(parts.next());
        }
        call.halfClose();
        return result();
      } catch (InterruptedException interrupted) {
        call.cancel(Statuses.INTERRUPTED, null);
        Thread.currentThread().interrupt();
        throw Status.CANCELLED.asRuntimeException();
      } catch (RuntimeException | Error failed) {
        call.cancel("what is sent could not be made", failed);
        throw failed;
      }
    }

    /** Waits until the connection takes more; false once the call is over. */
    private synchronized boolean ready(ClientCall<Q, R> call) throws InterruptedException {
      while (status == null && !call.isReady()) {
        wait();
      }
      return status == null;
    }

    private synchronized R result() throws InterruptedException {
      while (status == null) {
        wait();
      }
      if (!status.isOk()) {
        throw new StatusRuntimeException(status, trailers);
      }
      if (answer == null) {
        throw Status.INTERNAL.withDescription("the call ended without an answer").asRuntimeException();
      }
      return answer;
    }

    @Override
    public synchronized void onReady() {
      notifyAll();
    }

    @Override
    public synchronized void onMessage(R message) {
      answer = message;
    }

    @Override
    public synchronized void onClose(Status ended, Metadata told) {
      status = ended;
      trailers = told;
      notifyAll();
    }
  }
}
