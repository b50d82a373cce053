// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class AttemptsTest {
  private static final RpcException GONE = error(Status.Code.UNAVAILABLE, null);

  private long now;

  private static RpcException error(Status.Code code, Duration retryAfter) {
    return new Failure(code, "", "x", Map.of(), List.of(), retryAfter, "", "").exception();
  }

  private Attempts attempts(Duration timeout, double random) {
    return new Attempts(null, Retry.DEFAULT, timeout, () -> now, () -> random);
  }

  private long wait(Attempts attempts, RpcException error) {
    return attempts.waitAfter(error).toMillis();
  }

  @Test
  void fiveTriesEachAfterTwiceTheWait() {
    Attempts attempts = attempts(null, 0.5);
    assertEquals(200, wait(attempts, GONE));
    assertEquals(400, wait(attempts, GONE));
    assertEquals(800, wait(attempts, GONE));
    assertEquals(1600, wait(attempts, GONE));
    assertSame(GONE, assertThrows(RpcException.class, () -> attempts.waitAfter(GONE)));
  }

  @Test
  void waitsVaryByAFifth() {
    assertEquals(160, wait(attempts(null, 0), GONE));
    assertEquals(240, wait(attempts(null, 1), GONE));
  }

  @Test
  void whatTheServerAsksForIsWaitedAtLeast() {
    Attempts attempts = attempts(null, 0.5);
    assertEquals(7000, wait(attempts, error(Status.Code.RESOURCE_EXHAUSTED, Duration.ofSeconds(7))));
    assertEquals(400, wait(attempts, error(Status.Code.UNAVAILABLE, Duration.ofMillis(1))));
  }

  @Test
  void onlyWhatCannotHarmIsRepeated() {
    for (Status.Code code : Status.Code.values()) {
      if (code != Status.Code.OK && code != Status.Code.UNAVAILABLE) {
        assertThrows(RpcException.class, () -> attempts(null, 0.5).waitAfter(error(code, null)));
      }
    }
    assertThrows(
        RpcException.class,
        () -> attempts(null, 0.5).waitAfter(error(Status.Code.ABORTED, Duration.ofMillis(1))));
    IllegalStateException other = new IllegalStateException();
    assertSame(other, assertThrows(IllegalStateException.class, () -> attempts(null, 0.5).waitAfter(other)));
  }

  @Test
  void aWaitThatWouldPassTheDeadlineIsNotBegun() {
    Attempts attempts = attempts(Duration.ofSeconds(5), 0.5);
    RpcException full = error(Status.Code.RESOURCE_EXHAUSTED, Duration.ofSeconds(6));
    assertSame(full, assertThrows(RpcException.class, () -> attempts.waitAfter(full)));
  }

  @Test
  void aStreamThatHasBegunIsResumedWithPatienceCountedFromTheBreak() {
    Attempts attempts = attempts(null, 0.5);
    attempts.progressed();
    // However long the reader takes over what came.
    now += Duration.ofHours(1).toNanos();
    for (int i = 0; i < 10; i++) {
      assertEquals(Math.min(5000, 200 << i), wait(attempts, GONE));
    }
    now += Duration.ofSeconds(60).toNanos();
    attempts.waitAfter(GONE);
    now++;
    assertThrows(RpcException.class, () -> attempts.waitAfter(GONE));
    attempts.progressed();
    assertEquals(200, wait(attempts, GONE));
  }

  @Test
  void withoutPatienceNoStreamIsResumed() {
    Attempts attempts = new Attempts(null, Retry.NEVER, null, () -> now, () -> 0.5);
    attempts.progressed();
    assertThrows(RpcException.class, () -> attempts.waitAfter(GONE));
  }

  @Test
  void whoCannotConnectAtAllKnowsAfterOneTimeout() {
    RpcException none =
        Failure.local(Status.Code.UNAVAILABLE, Connection.CONNECT_TIMEOUT, "x", "", "").exception();
    assertThrows(RpcException.class, () -> attempts(null, 0.5).waitAfter(none));
    Attempts begun = attempts(null, 0.5);
    begun.progressed();
    assertEquals(200, wait(begun, none));
  }

  @Test
  void timeoutsBeyondGrpcsOwnAreNone() {
    assertEquals(null, attempts(Duration.ofSeconds(Long.MAX_VALUE), 0).deadline());
    assertEquals(null, attempts(null, 0).deadline());
  }
}
