// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kohort.fake.Streams;
import io.kohort.v1.Model;
import java.time.Duration;
import java.util.Iterator;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Ends of a sample before its last row, and how much of it is held. */
@Timeout(60)
class SampleLeavingTest extends SamplingFixture {
  private Sample open() {
    return client.sample("models/long").units(1L << 40).seed(1).open();
  }

  private static void eventually(String what, BooleanSupplier met) {
    long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
    while (!met.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, what);
      Thread.onSpinWait();
    }
  }

  private void leftAtTheServer() {
    eventually("the call is cancelled at the server", () -> server.calls("Sample").get(0).cancelled());
  }

  @Test
  void closingCancelsAtTheServer() {
    sampling.answer((request, number) -> Streams.endless(request));
    Iterator<Row> rows;
    try (Sample sample = open()) {
      rows = sample.iterator();
      rows.next();
    }
    leftAtTheServer();
    Model model = client.model("models/1");
    assertEquals("fake", model.getTrainer());
    IllegalStateException error =
        assertThrows(IllegalStateException.class, () -> rows.forEachRemaining(row -> {}));
    assertEquals("the sample is closed", error.getMessage());
  }

  @Test
  void closingFromAnotherThreadWakesTheReader() throws Exception {
    sampling.answer((request, number) -> Streams.stalled(request));
    try (Sample sample = open()) {
      CompletableFuture<?> reading = CompletableFuture.runAsync(() -> sample.batches().forEach(batch -> {}));
      CompletableFuture.runAsync(sample::close);
      Throwable error = assertThrows(Exception.class, reading::get).getCause();
      assertInstanceOf(IllegalStateException.class, error);
    }
    leftAtTheServer();
  }

  @Test
  void closingTheClientWakesTheReader() {
    sampling.answer((request, number) -> Streams.stalled(request));
    Sample sample = open();
    CompletableFuture<?> reading = CompletableFuture.runAsync(() -> sample.batches().forEach(batch -> {}));
    client.close();
    Throwable error = assertThrows(Exception.class, reading::get).getCause();
    assertInstanceOf(CallCancelledException.class, error);
  }

  @Test
  void anInterruptedReaderLeaves() {
    sampling.answer((request, number) -> Streams.stalled(request));
    try (Sample sample = open()) {
      Thread.currentThread().interrupt();
      assertThrows(CallCancelledException.class, () -> sample.batches().forEach(batch -> {}));
      assertTrue(Thread.interrupted());
    }
    leftAtTheServer();
  }

  @Test
  void theDeadlineCoversTheReader() {
    client.model("models/1"); // connected, so that the deadline does not pass before the sample is open
    sampling.answer((request, number) -> Streams.stalled(request));
    SampleCall call = client.sample("models/long").units(10).timeout(Duration.ofMillis(300));
    try (Sample sample = call.open()) {
      DeadlineExceededException error =
          assertThrows(DeadlineExceededException.class, () -> sample.batches().forEach(batch -> {}));
      assertFalse(error.requestId().isEmpty());
    }
  }

  @Test
  void whateverItsLengthFewBatchesLieReady() throws InterruptedException {
    sampling.answer((request, number) -> Streams.endless(request));
    try (Sample sample = open()) {
      Iterator<Batch> batches = sample.batches().iterator();
      for (int i = 0; i < 20; i++) {
        batches.next();
      }
      // Two here, and what fits the windows of HTTP/2 on both sides; a reader that took all would be far ahead.
      Thread.sleep(500);
      int ahead = sampling.sent() - 20;
      assertTrue(ahead < 12, "batches sent ahead of the reader: " + ahead);
    }
  }
}
