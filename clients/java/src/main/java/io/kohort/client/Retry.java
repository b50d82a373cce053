// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.time.Duration;

/**
 * When a call is tried again. Immutable; begin with {@link #DEFAULT} or {@link #NEVER}.
 *
 * <p>Only what cannot harm is repeated: calls that the server did not take (UNAVAILABLE), or declined for now naming
 * a time to wait (RESOURCE_EXHAUSTED with RetryInfo). Calls that create something carry a request id, so a repeat
 * finds what the first try made. Each call's timeout covers all of its tries; a wait that would pass it is not
 * begun, and the error itself is thrown.
 */
public final class Retry {
  /** 5 tries, after 0.2 s, twice as long each time, up to 5 s, a fifth longer or shorter; patience of 60 s. */
  public static final Retry DEFAULT =
      new Retry(5, Duration.ofMillis(200), 2, Duration.ofSeconds(5), 0.2, Duration.ofSeconds(60));

  /** One try of every call; streams are not resumed. */
  public static final Retry NEVER = DEFAULT.withAttempts(1).withStreamPatience(Duration.ZERO);

  private final int attempts;
  private final Duration initialBackoff;
  private final double multiplier;
  private final Duration maxBackoff;
  private final double jitter;
  private final Duration streamPatience;

  private Retry(
      int attempts,
      Duration initialBackoff,
      double multiplier,
      Duration maxBackoff,
      double jitter,
      Duration streamPatience) {
    this.attempts = attempts;
    this.initialBackoff = initialBackoff;
    this.multiplier = multiplier;
    this.maxBackoff = maxBackoff;
    this.jitter = jitter;
    this.streamPatience = streamPatience;
  }

  /**
   * Tries of a call, the first included.
   *
   * @return 5 by default; 1 never retries
   */
  public int attempts() {
    return attempts;
  }

  /**
   * The wait before the second try.
   *
   * @return 0.2 seconds by default
   */
  public Duration initialBackoff() {
    return initialBackoff;
  }

  /**
   * How much longer each further wait is.
   *
   * @return 2 by default
   */
  public double multiplier() {
    return multiplier;
  }

  /**
   * The longest wait, unless the server names a longer one.
   *
   * @return 5 seconds by default
   */
  public Duration maxBackoff() {
    return maxBackoff;
  }

  /**
   * The share by which each wait is randomly longer or shorter, so that clients do not return in step.
   *
   * @return 0.2 by default
   */
  public double jitter() {
    return jitter;
  }

  /**
   * How long a stream that has begun is resumed without progress, as over a restart of the server.
   *
   * @return 60 seconds by default
   */
  public Duration streamPatience() {
    return streamPatience;
  }

  /**
   * The same with another number of tries.
   *
   * @param attempts at least 1
   * @return another policy
   * @throws IllegalArgumentException it is less
   */
  public Retry withAttempts(int attempts) {
    if (attempts < 1) {
      throw new IllegalArgumentException("attempts must be at least 1");
    }
    return new Retry(attempts, initialBackoff, multiplier, maxBackoff, jitter, streamPatience);
  }

  /**
   * The same with other waits.
   *
   * @param initial the wait before the second try; positive
   * @param multiplier how much longer each further wait is; at least 1
   * @param max the longest wait; positive
   * @param jitter the share by which waits vary; from 0 to 1
   * @return another policy
   * @throws IllegalArgumentException a value is outside of these bounds
   */
  public Retry withBackoff(Duration initial, double multiplier, Duration max, double jitter) {
    if (!(multiplier >= 1)) {
      throw new IllegalArgumentException("multiplier must be at least 1");
    }
    if (!(jitter >= 0 && jitter <= 1)) {
      throw new IllegalArgumentException("jitter must be from 0 to 1");
    }
    Settings.positive("initial backoff", initial);
    return new Retry(
        attempts, initial, multiplier, Settings.positive("max backoff", max), jitter, streamPatience);
  }

  /**
   * The same with another patience for streams.
   *
   * @param streamPatience zero never resumes
   * @return another policy
   * @throws IllegalArgumentException it is negative
   */
  public Retry withStreamPatience(Duration streamPatience) {
    if (streamPatience.isNegative()) {
      throw new IllegalArgumentException("stream patience must not be negative");
    }
    return new Retry(attempts, initialBackoff, multiplier, maxBackoff, jitter, streamPatience);
  }
}
