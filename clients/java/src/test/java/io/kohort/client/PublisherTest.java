// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.kohort.fake.Errors;
import io.kohort.fake.FakeServer;
import io.kohort.fake.FakeTraining;
import io.kohort.v1.JobUpdate;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Job.progress() with subscribers of many tempers. */
@Timeout(60)
class PublisherTest {
  private static final Retry QUICK =
      Retry.DEFAULT.withBackoff(Duration.ofMillis(1), 1, Duration.ofMillis(1), 0);
  // The job, the events, the job.
  private static final int UPDATES = 1 + 103 + 1;

  private final FakeTraining training = new FakeTraining(100);
  private final FakeServer server = FakeServer.start(training);
  private final KohortClient client = KohortClient.builder(server.target()).retry(QUICK).build();

  @AfterEach
  void close() {
    training.release();
    client.close();
    server.close();
  }

  /** Keeps what comes; asks for nothing by itself. */
  private static class Recorder implements Flow.Subscriber<JobUpdate> {
    final BlockingQueue<JobUpdate> updates = new LinkedBlockingQueue<>();
    final CountDownLatch over = new CountDownLatch(1);
    final CountDownLatch subscribed = new CountDownLatch(1);
    volatile Flow.Subscription subscription;
    volatile Throwable error;

    @Override
    public void onSubscribe(Flow.Subscription given) {
      subscription = given;
      subscribed.countDown();
    }

    @Override
    public void onNext(JobUpdate update) {
      updates.add(update);
    }

    @Override
    public void onError(Throwable thrown) {
      error = thrown;
      over.countDown();
    }

    @Override
    public void onComplete() {
      over.countDown();
    }

    List<Long> sequences() {
      return updates.stream()
          .filter(JobUpdate::hasEvent)
          .map(update -> update.getEvent().getSequence())
          .collect(Collectors.toList());
    }
  }

  private Recorder subscribe() throws Exception {
    Recorder recorder = new Recorder();
    client.job("jobs/1").progress().subscribe(recorder);
    recorder.subscribed.await();
    return recorder;
  }

  private static List<Long> upTo(long last) {
    return java.util.stream.LongStream.rangeClosed(1, last).boxed().collect(Collectors.toList());
  }

  @Test
  void oneThatWantsEverything() throws Exception {
    Recorder recorder = subscribe();
    recorder.subscription.request(Long.MAX_VALUE);
    recorder.over.await();
    assertNull(recorder.error);
    assertEquals(UPDATES, recorder.updates.size());
    assertEquals(upTo(103), recorder.sequences());
  }

  @Test
  void oneThatAsksForEachByItself() throws Exception {
    Recorder recorder = subscribe();
    for (int i = 1; i <= UPDATES; i++) {
      assertEquals(0, recorder.updates.size());
      recorder.subscription.request(1);
      assertTrue(recorder.updates.poll(9, TimeUnit.SECONDS) != null);
    }
    recorder.over.await();
    assertNull(recorder.error);
  }

  @Test
  void oneThatAsksForFewGetsNoMore() throws Exception {
    training.hold();
    Recorder recorder = subscribe();
    recorder.subscription.request(3);
    TransferTest.await(() -> recorder.updates.size() == 3);
    // Whoever follows afterwards is served; had more been on its way here, it would have come by then.
    Recorder other = subscribe();
    other.subscription.request(50);
    TransferTest.await(() -> other.updates.size() == 50);
    assertEquals(3, recorder.updates.size());
    assertEquals(1, recorder.over.getCount());
    recorder.subscription.cancel();
    TransferTest.await(() -> server.calls("Status").get(0).cancelled());
    assertTrue(!server.calls("Status").get(1).cancelled());
  }

  @Test
  void oneThatIsSlowAndWhoseStreamBreaks() throws Exception {
    training.breaking(40, FakeServer.unavailable());
    Recorder slow =
        new Recorder() {
          @Override
          public void onNext(JobUpdate update) {
            super.onNext(update);
            Thread.yield();
            subscription.request(1);
          }
        };
    client.job("jobs/1").progress().subscribe(slow);
    slow.subscribed.await();
    slow.subscription.request(1);
    slow.over.await();
    assertNull(slow.error);
    assertEquals(upTo(103), slow.sequences());
    assertEquals(3, training.followers().size());
  }

  @Test
  void oneThatLeavesAtOnce() throws Exception {
    training.hold();
    Recorder leaving =
        new Recorder() {
          @Override
          public void onNext(JobUpdate update) {
            super.onNext(update);
            subscription.cancel();
            subscription.request(5);
          }
        };
    client.job("jobs/1").progress().subscribe(leaving);
    leaving.subscribed.await();
    leaving.subscription.request(100);
    TransferTest.await(() -> !leaving.updates.isEmpty());
    TransferTest.await(() -> server.calls("Status").get(0).cancelled());
    assertEquals(1, leaving.updates.size());
    assertEquals(1, leaving.over.getCount());
  }

  @Test
  void oneThatAsksForNothingAtAll() throws Exception {
    Recorder recorder = subscribe();
    recorder.subscription.request(0);
    recorder.over.await();
    assertInstanceOf(IllegalArgumentException.class, recorder.error);
    assertThrows(NullPointerException.class, () -> client.job("jobs/1").progress().subscribe(null));
  }

  @Test
  void oneWhoseCallFails() throws Exception {
    server.refuse("Status", Errors.of(Status.Code.PERMISSION_DENIED, "PERMISSION_DENIED", "no"));
    Recorder recorder = subscribe();
    recorder.over.await();
    assertInstanceOf(PermissionDeniedException.class, recorder.error);
    assertEquals(0, recorder.updates.size());
  }

  @Test
  void oneWhoseClientIsClosed() throws Exception {
    training.hold();
    Recorder recorder = subscribe();
    recorder.subscription.request(5);
    TransferTest.await(() -> recorder.updates.size() == 5);
    client.close();
    recorder.over.await();
    assertEquals("CANCELLED: the client was closed", recorder.error.getMessage());
  }

  @Test
  void oneOnAThreadOfTheCaller() throws Exception {
    ExecutorService own = Executors.newSingleThreadExecutor(task -> new Thread(task, "own"));
    try (KohortClient other = KohortClient.builder(server.target()).executor(own).build()) {
      BlockingQueue<String> threads = new LinkedBlockingQueue<>();
      Recorder recorder =
          new Recorder() {
            @Override
            public void onNext(JobUpdate update) {
              super.onNext(update);
              threads.add(Thread.currentThread().getName());
            }
          };
      other.job("jobs/1").progress(100).subscribe(recorder);
      recorder.subscribed.await();
      recorder.subscription.request(Long.MAX_VALUE);
      recorder.over.await();
      assertEquals(List.of(101L, 102L, 103L), recorder.sequences());
      assertEquals(List.of("own"), threads.stream().distinct().collect(Collectors.toList()));
    }
    // The client leaves it alone.
    assertTrue(!own.isShutdown());
    own.shutdown();
  }

  @Test
  void nobodyAnswers() throws Exception {
    training.breaking(3, FakeServer.unavailable());
    Retry impatient = QUICK.withStreamPatience(Duration.ZERO);
    Recorder recorder = new Recorder();
    try (KohortClient other = KohortClient.builder(server.target()).retry(impatient).build()) {
      Job job = other.job("jobs/1");
      job.progress().subscribe(recorder);
      recorder.subscribed.await();
      recorder.subscription.request(2);
      TransferTest.await(() -> recorder.updates.size() == 2);
      server.close();
      recorder.subscription.request(9);
      recorder.over.await();
      assertInstanceOf(UnavailableException.class, recorder.error);
    }
  }
}
