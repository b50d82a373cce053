// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import com.google.protobuf.ByteString;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.List;

/** Cells in the canonical form of tests/interop/canonical.py. */
final class Cells {
  private static final DateTimeFormatter MICROSECONDS =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS");

  private Cells() {}

  /** Null for null, a list of strings for a list, else a string. */
  static Object text(Object cell) {
    if (cell == null || cell instanceof List) {
      return cell;
    }
    if (cell instanceof Double) {
      return String.format("%016x", Double.doubleToRawLongBits((Double) cell));
    }
    if (cell instanceof BigDecimal) {
      return ((BigDecimal) cell).toPlainString();
    }
    if (cell instanceof LocalDateTime) {
      return MICROSECONDS.format((LocalDateTime) cell);
    }
    if (cell instanceof Instant) {
      return MICROSECONDS.format(((Instant) cell).atOffset(ZoneOffset.UTC)) + "Z";
    }
    if (cell instanceof Duration) {
      Duration duration = (Duration) cell;
      BigDecimal nanos = BigDecimal.valueOf(duration.getNano(), 9);
      return BigDecimal.valueOf(duration.getSeconds()).add(nanos).setScale(6).toPlainString() + "s";
    }
    return cell.toString();
  }

  static String hex(ByteString bytes) {
    StringBuilder text = new StringBuilder();
    for (byte b : bytes) {
      text.append(String.format("%02x", b));
    }
    return text.toString();
  }
}
