// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;

/** Values of conditions in the text form of the contract: as CSV writes them. */
final class Values {
  private static final DateTimeFormatter MICROSECONDS =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS");

  private Values() {}

  /**
   * The text of a value; IllegalArgumentException, naming the column and the type, for what no cell can have.
   */
  static String text(String column, Object value) {
    if (value instanceof Boolean || value instanceof CharSequence || value instanceof LocalDate) {
      return value.toString();
    }
    if (value instanceof Enum) {
      return ((Enum<?>) value).name();
    }
    if (value instanceof Number) {
      return number(column, (Number) value);
    }
    if (value instanceof LocalDateTime) {
      return micros(column, (LocalDateTime) value);
    }
    if (value instanceof Instant) {
      return micros(column, LocalDateTime.ofInstant((Instant) value, ZoneOffset.UTC)) + "Z";
    }
    if (value instanceof OffsetDateTime) {
      return text(column, ((OffsetDateTime) value).toInstant());
    }
    if (value instanceof ZonedDateTime) {
      return text(column, ((ZonedDateTime) value).toInstant());
    }
    if (value instanceof Duration) {
      Duration duration = (Duration) value;
      wholeMicros(column, duration.getNano());
      BigDecimal seconds = BigDecimal.valueOf(duration.getSeconds());
      return "PT" + seconds.add(BigDecimal.valueOf(duration.getNano() / 1000, 6)).toPlainString() + "S";
    }
    throw unfit(column, value);
  }

  private static String number(String column, Number value) {
    if (value instanceof BigDecimal) {
      return ((BigDecimal) value).toPlainString();
    }
    boolean whole = value instanceof Long
        || value instanceof Integer
        || value instanceof Short
        || value instanceof Byte
        || value instanceof BigInteger;
    boolean floating = value instanceof Double || value instanceof Float;
    if (!whole && !(floating && Double.isFinite(value.doubleValue()))) {
      throw unfit(column, value);
    }
    return value.toString();
  }

  private static String micros(String column, LocalDateTime moment) {
    wholeMicros(column, moment.getNano());
    return MICROSECONDS.format(moment);
  }

  private static void wholeMicros(String column, int nanos) {
    if (nanos % 1000 != 0) {
      throw new IllegalArgumentException(column + ": times are whole microseconds");
    }
  }

  private static IllegalArgumentException unfit(String column, Object value) {
    String type = value == null ? "null" : value.getClass().getSimpleName();
    return new IllegalArgumentException(column + ": no cell can have this value (" + type + ")");
  }
}
