// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.time.Duration;

/** Checks that the settings share. */
final class Settings {
  private Settings() {}

  /** The duration, which must be more than none. */
  static Duration positive(String name, Duration value) {
    if (value.isNegative() || value.isZero()) {
      throw new IllegalArgumentException(name + " must be positive");
    }
    return value;
  }

  /**
   * The bearer token without white space around it, such as the line break of its file; empty for null. Whatever no
   * header can hold is refused here: gRPC would log it.
   */
  static String bearer(String token) {
    String trimmed = token == null ? "" : token.trim();
    if (!trimmed.chars().allMatch(c -> c > ' ' && c <= '~')) {
      throw new IllegalArgumentException("the token holds a character that no bearer token has");
    }
    return trimmed;
  }

  /** The value of a header; what none can hold is refused: gRPC would leave it out and log it. */
  static String printable(String key, String value) {
    if (!value.chars().allMatch(c -> c >= ' ' && c <= '~')) {
      throw new IllegalArgumentException("the value of " + key + " has characters that no header can hold");
    }
    return value;
  }

  /** Nanoseconds, at most those that fit: 292 years. */
  static long nanos(Duration value) {
    try {
      return value.toNanos();
    } catch (ArithmeticException huge) {
      return value.isNegative() ? Long.MIN_VALUE : Long.MAX_VALUE;
    }
  }
}
