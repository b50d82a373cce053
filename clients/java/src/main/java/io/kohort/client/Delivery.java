// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A server stream, resumed until it is complete, whose elements go to a subscriber without a thread that waits. A
 * message is asked for when there is demand that those before it leave. All fields belong to the mailbox.
 *
 * @param <Q> the request
 * @param <R> the messages
 * @param <T> the elements
 */
final class Delivery<Q, R, T> implements Flow.Subscription {
  private final Connection connection;
  private final Attempts attempts;
  private final Resumable<Q, R> state;
  private final Supplier<T> take;
  private final Flow.Subscriber<? super T> subscriber;
  private final Mailbox mailbox;
  private final Runnable closed = () -> fail(new CallCancelledException(closedFailure()));
  private final Queue<T> ready = new ArrayDeque<>();
  private volatile ClientCall<Q, R> call;
  private volatile boolean cancelled;
  private Listener listener;
  private long demand;
  private boolean asked;
  private boolean ended;
  private boolean done;

  private Delivery(
      Connection connection,
      Attempts attempts,
      Resumable<Q, R> state,
      Supplier<T> take,
      Flow.Subscriber<? super T> subscriber) {
    this.connection = connection;
    this.attempts = attempts;
    this.state = state;
    this.take = take;
    this.subscriber = subscriber;
    this.mailbox = new Mailbox(connection.executor());
  }

  /**
   * Begins the stream.
   *
   * @param connection what it runs on
   * @param timeout for all of it; null for no limit
   * @param state of the stream
   * @param take the next element that the last message completed; null when there is none
   * @param subscriber gets the elements on the connection's executor
   */
  static <Q, R, T> void start(
      Connection connection,
      Duration timeout,
      Resumable<Q, R> state,
      Supplier<T> take,
      Flow.Subscriber<? super T> subscriber) {
    Objects.requireNonNull(subscriber);
    Delivery<Q, R, T> delivery =
        new Delivery<>(connection, new Attempts(connection, timeout), state, take, subscriber);
    delivery.post(
        () -> {
          subscriber.onSubscribe(delivery);
          connection.closing().onClose(delivery.closed);
          delivery.open();
        });
  }

  @Override
  public void request(long n) {
    post(
        () -> {
          if (n <= 0) {
            fail(new IllegalArgumentException("request(n): n must be positive"));
            return;
          }
          demand = demand + n < 0 ? Long.MAX_VALUE : demand + n;
          pump();
        });
  }

  @Override
  public void cancel() {
    cancelled = true;
    ClientCall<Q, R> open = call;
    if (open != null) {
      open.cancel("the subscription was cancelled", null);
    }
    post(this::leave);
  }

  private void post(Runnable task) {
    mailbox.post(
        () -> {
          if (cancelled) {
            leave();
          } else if (!done) {
            try {
              task.run();
            } catch (RuntimeException | Error thrown) {
              // By a subscriber, which must not: its subscription counts as cancelled.
              leave();
              throw thrown;
            }
          }
        });
  }

  private void open() {
    if (done || cancelled) {
      leave();
      return;
    }
    try {
      connection.reconnect();
      Metadata headers = connection.headers(attempts);
      MethodDescriptor<Q, R> method = state.method();
      ClientCall<Q, R> opened = connection.channel().newCall(method, connection.options(attempts));
      listener = new Listener();
      opened.start(listener, headers);
      call = opened;
      asked = false;
      opened.sendMessage(state.request());
      opened.halfClose();
      Listener now = listener;
      later(connection.timeouts().connect(), () -> checkConnected(now));
    } catch (RuntimeException error) {
      fail(error);
      return;
    }
    pump();
  }

  private void checkConnected(Listener of) {
    if (of == listener && !of.answered && connection.state() != ConnectivityState.READY) {
      call.cancel("no connection", null);
      listener = null;
      mend(connection.statuses().notConnected(connection.timeouts().connect(), attempts.requestId()));
    }
  }

  private void later(Duration wait, Runnable task) {
    CompletableFuture.delayedExecutor(Settings.nanos(wait), TimeUnit.NANOSECONDS, Runnable::run)
        .execute(() -> post(task));
  }

  /** Gives what is there as far as it is wanted, then asks for more as far as that is. */
  private void pump() {
    while (demand > 0 && !ready.isEmpty()) {
      if (cancelled) {
        leave();
        return;
      }
      if (demand != Long.MAX_VALUE) {
        demand--;
      }
      subscriber.onNext(ready.remove());
    }
    if (ready.isEmpty() && ended) {
      leave();
      subscriber.onComplete();
    } else if (demand > 0 && listener != null && !asked) {
      asked = true;
      call.request(1);
    }
  }

  private void receive(R message) {
    asked = false;
    attempts.progressed();
    try {
      state.receive(message);
      for (T next = take.get(); next != null; next = take.get()) {
        ready.add(next);
      }
    } catch (RuntimeException broken) {
      fail(broken);
      return;
    }
    pump();
  }

  private void over(Status status, Metadata trailers) {
    listener = null;
    if (!status.isOk()) {
      mend(connection.statuses().exception(new StatusRuntimeException(status, trailers), attempts.requestId()));
      return;
    }
    try {
      ended = state.ended();
    } catch (RuntimeException incomplete) {
      fail(incomplete);
      return;
    }
    if (ended) {
      pump();
    } else {
      mend(connection.endedEarly(attempts));
    }
  }

  private void mend(RpcException error) {
    if (state.complete()) {
      ended = true;
      pump();
    } else if (state.broken(error)) {
      open();
    } else {
      try {
        Duration wait = attempts.waitAfter(error);
        connection.reconnect();
        later(wait, this::open);
      } catch (RuntimeException last) {
        fail(last);
      }
    }
  }

  private void fail(RuntimeException error) {
    post(
        () -> {
          leave();
          subscriber.onError(error);
        });
  }

  /** Nothing comes after this; safe to repeat. */
  private void leave() {
    done = true;
    listener = null;
    ready.clear();
    connection.closing().forget(closed);
    if (call != null) {
      call.cancel("nothing more is wanted", null);
    }
  }

  private Failure closedFailure() {
    return Failure.local(Status.Code.CANCELLED, "", Statuses.CLOSED, attempts.requestId(), "");
  }

  /** Hands what gRPC's threads bring to the mailbox, as long as its call is the present one. */
  private final class Listener extends ClientCall.Listener<R> {
    private boolean answered;

    private void hand(Runnable task) {
      post(
          () -> {
            if (listener == this) {
              task.run();
            }
          });
    }

    @Override
    public void onHeaders(Metadata headers) {
      hand(() -> answered = true);
    }

    @Override
    public void onMessage(R message) {
      hand(() -> receive(message));
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      hand(() -> over(status, trailers));
    }
  }
}
