// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.time.Duration;

/**
 * Pings that notice a dead connection. Immutable; begin with {@link #DEFAULT}.
 *
 * <p>A Kohort server allows one ping every 10 seconds; other servers and proxies may close connections that ping
 * more often than every 5 minutes.
 */
public final class KeepAlive {
  /** A ping every 30 s, also while no call is under way; dead after 15 s without an answer. */
  public static final KeepAlive DEFAULT = new KeepAlive(Duration.ofSeconds(30), Duration.ofSeconds(15), true);

  private static final Duration SHORTEST = Duration.ofSeconds(10);

  private final Duration interval;
  private final Duration timeout;
  private final boolean withoutCalls;

  private KeepAlive(Duration interval, Duration timeout, boolean withoutCalls) {
    this.interval = interval;
    this.timeout = timeout;
    this.withoutCalls = withoutCalls;
  }

  /**
   * The time between pings.
   *
   * @return 30 seconds by default
   */
  public Duration interval() {
    return interval;
  }

  /**
   * The time without an answer after which the connection counts as dead.
   *
   * @return 15 seconds by default
   */
  public Duration timeout() {
    return timeout;
  }

  /**
   * Whether to ping while no call is under way.
   *
   * @return true by default
   */
  public boolean withoutCalls() {
    return withoutCalls;
  }

  /**
   * The same with another interval.
   *
   * @param interval at least 10 seconds
   * @return other settings
   * @throws IllegalArgumentException it is shorter: the server would close the connection
   */
  public KeepAlive withInterval(Duration interval) {
    if (interval.compareTo(SHORTEST) < 0) {
      throw new IllegalArgumentException(
          "keepalive interval is shorter than 10 s: the server would close the connection (too_many_pings)");
    }
    return new KeepAlive(interval, timeout, withoutCalls);
  }

  /**
   * The same with another timeout.
   *
   * @param timeout positive
   * @return other settings
   * @throws IllegalArgumentException it is not positive
   */
  public KeepAlive withTimeout(Duration timeout) {
    return new KeepAlive(interval, Settings.positive("keepalive timeout", timeout), withoutCalls);
  }

  /**
   * The same, pinging while no call is under way or not.
   *
   * @param withoutCalls whether to
   * @return other settings
   */
  public KeepAlive withWithoutCalls(boolean withoutCalls) {
    return new KeepAlive(interval, timeout, withoutCalls);
  }
}
