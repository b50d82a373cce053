// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Level;
import java.util.logging.Logger;

/** Samples as it is told, sending no more than the reader takes: {@link Golden} unless told otherwise. */
public final class FakeSampling extends FakeModels {
  /** Kept, since loggers are forgotten with their level: that a reader left is no news in a test. */
  private static final Logger NETTY = Logger.getLogger("io.grpc.netty.shaded.io.grpc.netty.NettyServerHandler");

  static {
    NETTY.setLevel(Level.OFF);
  }

  /** What a Sample call is answered with. */
  @FunctionalInterface
  public interface Answer {
    /** The messages; what the iterator throws ends the call. Calls are numbered from 1. */
    Iterator<SampleResponse> to(SampleRequest request, int number);
  }

  /** Thrown by an answer's iterator: nothing more comes, and no end either. */
  @SuppressWarnings("serial")
  static final class Stall extends RuntimeException {}

  private final List<SampleRequest> requests = new CopyOnWriteArrayList<>();
  private final AtomicInteger sent = new AtomicInteger();
  private volatile Answer answer = (request, number) -> GoldenStream.of(request).iterator();

  /** Answers otherwise from now on. */
  public void answer(Answer other) {
    answer = other;
  }

  /** The requests so far. */
  public List<SampleRequest> requests() {
    return requests;
  }

  /** Messages sent so far, in all calls. */
  public int sent() {
    return sent.get();
  }

  /** The first so many messages, and then an error. */
  public static Iterator<SampleResponse> cut(
      List<SampleResponse> messages, int after, StatusRuntimeException error) {
    Iterator<SampleResponse> first = messages.subList(0, after).iterator();
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return true;
      }

      @Override
      public SampleResponse next() {
        if (!first.hasNext()) {
          throw error;
        }
        return first.next();
      }
    };
  }

  @Override
  public void sample(SampleRequest request, StreamObserver<SampleResponse> observer) {
    ServerCallStreamObserver<SampleResponse> call = (ServerCallStreamObserver<SampleResponse>) observer;
    requests.add(request);
    Iterator<SampleResponse> messages = answer.to(request, requests.size());
    call.setOnCancelHandler(() -> {});
    call.setOnReadyHandler(
        new Runnable() {
          private boolean over;

          @Override
          public void run() {
            try {
              while (!over && call.isReady() && messages.hasNext()) {
                call.onNext(messages.next());
                sent.incrementAndGet();
              }
              if (!over && call.isReady() && !messages.hasNext()) {
                over = true;
                call.onCompleted();
              }
            } catch (Stall nothing) {
              over = true;
            } catch (StatusRuntimeException told) {
              over = true;
              call.onError(told);
            }
          }
        });
  }
}
