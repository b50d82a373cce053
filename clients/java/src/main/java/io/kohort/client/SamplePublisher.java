// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Supplier;

/**
 * Hands the batches of a sample to subscribers, as many as they asked for. A thread of the executor waits for
 * messages while something is asked for, and none otherwise.
 */
final class SamplePublisher implements Flow.Publisher<Batch> {
  private final Supplier<Sample> samples;
  private final Executor executor;

  SamplePublisher(Supplier<Sample> samples, Executor executor) {
    this.samples = samples;
    this.executor = executor;
  }

  @Override
  public void subscribe(Flow.Subscriber<? super Batch> subscriber) {
    Objects.requireNonNull(subscriber);
    Sample sample;
    try {
      sample = samples.get();
    } catch (RuntimeException failed) {
      subscriber.onSubscribe(new Nothing());
      subscriber.onError(failed);
      return;
    }
    try {
      subscriber.onSubscribe(new Subscription(subscriber, sample));
    } catch (RuntimeException | Error defect) {
      // By a subscriber, which must not: nobody is left to end the call.
      sample.close();
      throw defect;
    }
  }

  private final class Subscription implements Flow.Subscription, Runnable {
    private final Flow.Subscriber<? super Batch> subscriber;
    private final Sample sample;
    private long asked;
    private boolean running;
    private boolean over;
    private Throwable refused;

    Subscription(Flow.Subscriber<? super Batch> subscriber, Sample sample) {
      this.subscriber = subscriber;
      this.sample = sample;
    }

    @Override
    public void request(long count) {
      synchronized (this) {
        if (over) {
          return;
        }
        if (count < 1) {
          refused = new IllegalArgumentException("as many batches as are asked for must be at least 1");
        } else {
          asked = asked + count < 0 ? Long.MAX_VALUE : asked + count;
        }
        if (running) {
          if (refused != null) {
            sample.close(); // wakes who waits for a batch
          }
          return;
        }
        running = true;
      }
      try {
        executor.execute(this);
      } catch (RejectedExecutionException closed) {
        fail(closed);
      }
    }

    @Override
    public void cancel() {
      synchronized (this) {
        over = true;
      }
      sample.close();
    }

    @Override
    public void run() {
      while (wanted()) {
        Batch batch;
        try {
          batch = sample.next();
        } catch (RuntimeException | Error failed) {
          fail(failed);
          return;
        }
        if (batch == null) {
          if (end()) {
            subscriber.onComplete();
          }
          return;
        }
        if (isOver()) {
          return;
        }
        try {
          subscriber.onNext(batch);
        } catch (RuntimeException | Error defect) {
          cancel();
          throw defect;
        }
      }
    }

    /** Whether another batch is asked for, or only the end is left to be told; this run ends when neither. */
    private boolean wanted() {
      Throwable wrong;
      synchronized (this) {
        wrong = refused;
        if (wrong == null && !over && asked > 0) {
          asked -= asked == Long.MAX_VALUE ? 0 : 1;
          return true;
        }
        if (wrong == null && !over && sample.handedOn()) {
          return true;
        }
        running = false;
      }
      if (wrong != null) {
        fail(wrong);
      }
      return false;
    }

    private synchronized boolean isOver() {
      return over;
    }

    /** Ends the subscription; false when it was over. */
    private synchronized boolean end() {
      boolean first = !over;
      over = true;
      return first;
    }

    private void fail(Throwable error) {
      Throwable told;
      synchronized (this) {
        told = over ? null : refused == null ? error : refused;
        over = true;
      }
      sample.close();
      if (told != null) {
        subscriber.onError(told);
      }
    }
  }

  private static final class Nothing implements Flow.Subscription {
    @Override
    public void request(long count) {}

    @Override
    public void cancel() {}
  }
}
