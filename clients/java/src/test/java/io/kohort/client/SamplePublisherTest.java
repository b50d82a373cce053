// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.Status;
import io.kohort.fake.Errors;
import io.kohort.fake.Golden;
import io.kohort.fake.Streams;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SamplePublisherTest extends SamplingFixture {
  private static final Object COMPLETE = new Object();

  /** Notes what is signalled: a Batch, a Throwable or COMPLETE. */
  private static class Probe implements Flow.Subscriber<Batch> {
    final BlockingQueue<Object> signals = new LinkedBlockingQueue<>();
    final boolean all;
    Flow.Subscription subscription;

    Probe(boolean all) {
      this.all = all;
    }

    @Override
    public void onSubscribe(Flow.Subscription given) {
      subscription = given;
      if (all) {
        given.request(Long.MAX_VALUE);
      }
    }

    @Override
    public void onNext(Batch batch) {
      signals.add(batch);
    }

    @Override
    public void onError(Throwable error) {
      signals.add(error);
    }

    @Override
    public void onComplete() {
      signals.add(COMPLETE);
    }

    Object next() throws InterruptedException {
      return signals.poll(20, TimeUnit.SECONDS);
    }

    void nothingMore() throws InterruptedException {
      assertNull(signals.poll(200, TimeUnit.MILLISECONDS));
    }
  }

  private Flow.Publisher<Batch> golden() {
    return client.sample("models/golden").units(Golden.UNITS).seed(1).publisher();
  }

  @Test
  void allBatchesAndThenTheEnd() throws InterruptedException {
    Flow.Publisher<Batch> publisher = golden();
    for (int i = 0; i < 2; i++) { // each subscriber has a call of its own
      Probe probe = new Probe(true);
      publisher.subscribe(probe);
      long rows = 0;
      Object signal;
      while ((signal = probe.next()) instanceof Batch) {
        rows += ((Batch) signal).rowCount();
      }
      assertEquals(COMPLETE, signal);
      assertEquals(Golden.UNITS + 259, rows);
      assertEquals(i + 1, sampling.requests().size());
    }
  }

  @Test
  void noMoreThanWasAskedFor() throws InterruptedException {
    Probe probe = new Probe(false);
    golden().subscribe(probe);
    probe.nothingMore();
    probe.subscription.request(2);
    assertInstanceOf(Batch.class, probe.next());
    assertInstanceOf(Batch.class, probe.next());
    probe.nothingMore();
    probe.subscription.request(4);
    for (int i = 0; i < 4; i++) {
      assertInstanceOf(Batch.class, probe.next());
    }
    // The end needs no demand.
    assertEquals(COMPLETE, probe.next());
    probe.subscription.request(1);
    probe.nothingMore();
  }

  @Test
  void aSubscriberThatIsBrokenLeavesNoCallBehind() {
    sampling.answer((request, number) -> Streams.stalled(request));
    Probe broken =
        new Probe(false) {
          @Override
          public void onSubscribe(Flow.Subscription given) {
            given.request(1);
            while (server.calls("Sample").isEmpty()) {
              Thread.onSpinWait();
            }
            throw new IllegalStateException("broken");
          }
        };
    assertThrows(IllegalStateException.class, () -> golden().subscribe(broken));
    while (!server.calls("Sample").get(0).cancelled()) {
      Thread.onSpinWait();
    }
  }

  @Test
  void askingForNothingIsRefusedWhileABatchIsAwaited() throws InterruptedException {
    sampling.answer((request, number) -> Streams.stalled(request));
    Probe probe = new Probe(false);
    golden().subscribe(probe);
    probe.subscription.request(Long.MAX_VALUE);
    while (server.calls("Sample").isEmpty()) {
      Thread.onSpinWait();
    }
    probe.subscription.request(0);
    assertInstanceOf(IllegalArgumentException.class, probe.next());
    probe.nothingMore();
  }

  @Test
  void cancellingEndsTheCall() throws InterruptedException {
    sampling.answer((request, number) -> Streams.stalled(request));
    Probe probe = new Probe(true);
    golden().subscribe(probe);
    while (server.calls("Sample").isEmpty()) {
      Thread.onSpinWait();
    }
    probe.subscription.cancel();
    while (!server.calls("Sample").get(0).cancelled()) {
      Thread.onSpinWait();
    }
    probe.nothingMore();
  }

  @Test
  void cancellingFromWithinASignal() throws InterruptedException {
    sampling.answer((request, number) -> Streams.endless(request));
    Probe probe =
        new Probe(true) {
          @Override
          public void onNext(Batch batch) {
            super.onNext(batch);
            subscription.cancel();
          }
        };
    client.sample("models/long").units(1L << 40).publisher().subscribe(probe);
    assertInstanceOf(Batch.class, probe.next());
    probe.nothingMore();
    TransferTest.await(() -> server.calls("Sample").get(0).cancelled());
  }

  @Test
  void errorsComeAsSignals() throws InterruptedException {
    server.refuse("Sample", Errors.of(Status.Code.NOT_FOUND, "MODEL_NOT_FOUND", "there is none"));
    Probe probe = new Probe(true);
    golden().subscribe(probe);
    assertInstanceOf(NotFoundException.class, probe.next());
    probe.nothingMore();
    Flow.Publisher<Batch> late = golden();
    client.close();
    Probe closed = new Probe(true);
    late.subscribe(closed);
    assertInstanceOf(IllegalStateException.class, closed.next());
  }

  @Test
  void aDemandBelowOneIsAnError() throws InterruptedException {
    Probe probe = new Probe(false);
    golden().subscribe(probe);
    probe.subscription.request(0);
    assertInstanceOf(IllegalArgumentException.class, probe.next());
    probe.subscription.request(1);
    probe.nothingMore();
  }
}
