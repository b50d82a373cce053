// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.List;

/** Cells as the server's CSV writes them, so that equal rows are equal bytes in every language. */
final class CsvText {
  // Up to Java 18 Double.toString sometimes wrote more digits than it takes.
  private static final boolean SHORTEST = Runtime.version().feature() >= 19;

  private CsvText() {}

  /** Appends a cell; null is nothing. */
  static void append(StringBuilder out, Cells cells, int row) {
    if (cells.isNull(row)) {
      return;
    }
    switch (cells.storage) {
      case STORAGE_BOOL:
        out.append(cells.booleans[row]);
        break;
      case STORAGE_INT64:
        out.append(cells.longs[row]);
        break;
      case STORAGE_DOUBLE:
        number(out, cells.doubles[row]);
        break;
      case STORAGE_DECIMAL:
        decimal(out, cells.longs[row], cells.column.getScale(), false);
        break;
      case STORAGE_DATE:
        date(out, cells.date(row));
        break;
      case STORAGE_DATETIME:
        dateTime(out, cells.dateTime(row));
        out.append(cells.column.getTimeZone().isEmpty() ? "" : "Z");
        break;
      case STORAGE_DURATION:
        out.append("PT");
        decimal(out, cells.longs[row], 6, true);
        out.append('S');
        break;
      case STORAGE_STRING:
        quoted(out, cells.string(row));
        break;
      default:
        quoted(out, json(cells.list(row)));
    }
  }

  /** Appends a text, in quotes where it must be: an empty string is no null. */
  static void quoted(StringBuilder out, String text) {
    boolean plain = !text.isEmpty();
    for (int i = 0; plain && i < text.length(); i++) {
      char c = text.charAt(i);
      plain = c != '"' && c != ',' && c != '\r' && c != '\n';
    }
    if (plain) {
      out.append(text);
    } else {
      out.append('"').append(text.replace("\"", "\"\"")).append('"');
    }
  }

  /** value / 10^scale with all digits of the scale, or without zeros at their end. */
  static void decimal(StringBuilder out, long value, int scale, boolean trim) {
    String digits = Long.toString(value);
    int start = value < 0 ? 1 : 0;
    out.append(digits, 0, start);
    int missing = scale + 1 - (digits.length() - start);
    if (missing > 0) {
      digits = digits.substring(0, start) + "0".repeat(missing) + digits.substring(start);
    }
    int point = digits.length() - scale;
    int end = digits.length();
    while (trim && end > point && digits.charAt(end - 1) == '0') {
      end--;
    }
    out.append(digits, start, point);
    if (end > point) {
      out.append('.').append(digits, point, end);
    }
  }

  /** The shortest text that reads back exactly, of those the nearest, as Python writes it. */
  static void number(StringBuilder out, double value) {
    if (!Double.isFinite(value)) {
      out.append(Double.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf");
      return;
    }
    if (value == 0) {
      out.append(1 / value < 0 ? "-0.0" : "0.0");
      return;
    }
    if (value < 0) {
      out.append('-');
    }
    BigDecimal shortest = shortest(Math.abs(value));
    String digits = shortest.unscaledValue().toString();
    int point = digits.length() - shortest.scale();
    if (point > 16 || point < -3) {
      out.append(digits.charAt(0));
      if (digits.length() > 1) {
        out.append('.').append(digits, 1, digits.length());
      }
      int exponent = point - 1;
      out.append(exponent < 0 ? "e-" : "e+");
      padded(out, Math.abs(exponent), 2);
    } else if (point <= 0) {
      out.append("0.").append("0".repeat(-point)).append(digits);
    } else if (point >= digits.length()) {
      out.append(digits).append("0".repeat(point - digits.length())).append(".0");
    } else {
      out.append(digits, 0, point).append('.').append(digits, point, digits.length());
    }
  }

  private static BigDecimal shortest(double value) {
    BigDecimal said = new BigDecimal(Double.toString(value)).stripTrailingZeros();
    boolean normal = value >= Double.MIN_NORMAL;
    // No two decimals of up to 15 digits are the same double: there is no shorter one.
    if (normal && (SHORTEST || said.precision() <= 15)) {
      return said;
    }
    BigDecimal exact = new BigDecimal(value);
    for (int digits = normal ? 15 : 1; digits < 17; digits++) {
      BigDecimal nearest = exact.round(new MathContext(digits, RoundingMode.HALF_EVEN));
      if (nearest.doubleValue() == value) {
        return nearest.stripTrailingZeros();
      }
      // Beside a power of two the nearest may be another double's when a farther one is not.
      BigDecimal above = exact.round(new MathContext(digits, RoundingMode.CEILING));
      if (above.doubleValue() == value) {
        return above.stripTrailingZeros();
      }
    }
    return exact.round(new MathContext(17, RoundingMode.HALF_EVEN)).stripTrailingZeros();
  }

  private static void date(StringBuilder out, LocalDate date) {
    // At least four characters, the sign of years before the common era among them, and none after 9999.
    padded(out, date.getYear(), 4);
    out.append('-');
    padded(out, date.getMonthValue(), 2);
    out.append('-');
    padded(out, date.getDayOfMonth(), 2);
  }

  private static void dateTime(StringBuilder out, LocalDateTime moment) {
    date(out, moment.toLocalDate());
    out.append('T');
    padded(out, moment.getHour(), 2);
    out.append(':');
    padded(out, moment.getMinute(), 2);
    out.append(':');
    padded(out, moment.getSecond(), 2);
    if (moment.getNano() != 0) {
      out.append('.');
      padded(out, moment.getNano() / 1000, 6);
    }
  }

  private static void padded(StringBuilder out, int number, int width) {
    String digits = Integer.toString(Math.abs(number));
    if (number < 0) {
      out.append('-');
    }
    for (int i = digits.length() + (number < 0 ? 1 : 0); i < width; i++) {
      out.append('0');
    }
    out.append(digits);
  }

  /** Strings as a JSON array, as Python writes it. */
  static String json(List<String> strings) {
    StringBuilder out = new StringBuilder("[");
    for (String text : strings) {
      out.append(out.length() > 1 ? ", " : "");
      json(out, text);
    }
    return out.append(']').toString();
  }

  /** A string in JSON. */
  static void json(StringBuilder out, String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      int escape = "\"\\\n\r\t\b\f".indexOf(c);
      if (escape >= 0) {
        out.append('\\').append("\"\\nrtbf".charAt(escape));
      } else if (c < ' ') {
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }
}
