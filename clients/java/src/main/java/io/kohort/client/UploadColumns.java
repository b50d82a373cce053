// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.BoolValues;
import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.ColumnKind;
import io.kohort.v1.DateValues;
import io.kohort.v1.DoubleValues;
import io.kohort.v1.Int64Values;
import io.kohort.v1.Storage;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;

/** The columns of fixed width, by what their cells are; those of strings are {@link UploadStrings}. */
final class UploadColumns {
  /** Digits after the point that the contract carries. */
  static final int MAX_SCALE = 12;

  /** Digits before the point that 64 bits hold. */
  private static final int MAX_WHOLE_DIGITS = 19;

  private UploadColumns() {}

  static UploadColumn bool(String table, String name) {
    return new UploadColumn(table, column(name, Storage.STORAGE_BOOL)) {
      private BoolValues.Builder values = BoolValues.newBuilder();

      @Override
      void put(Object cell, DataOutputStream out) throws IOException {
        out.writeBoolean((Boolean) cell);
      }

      @Override
      int take(DataInputStream in) throws IOException {
        values.addValues(in != null && in.readBoolean());
        return 1;
      }

      @Override
      void finish(ColumnData.Builder data) {
        data.setBools(values);
        values = BoolValues.newBuilder();
      }
    };
  }

  static UploadColumn number(String table, String name) {
    return new UploadColumn(table, column(name, Storage.STORAGE_DOUBLE)) {
      private DoubleValues.Builder values = DoubleValues.newBuilder();

      @Override
      boolean isNull(Object cell) {
        return Double.isNaN(((Number) cell).doubleValue());
      }

      @Override
      void put(Object cell, DataOutputStream out) throws IOException {
        out.writeDouble(((Number) cell).doubleValue());
      }

      @Override
      int take(DataInputStream in) throws IOException {
        values.addValues(in == null ? 0 : in.readDouble());
        return 8;
      }

      @Override
      void finish(ColumnData.Builder data) {
        data.setDoubles(values);
        values = DoubleValues.newBuilder();
      }
    };
  }

  static UploadColumn date(String table, String name) {
    Column date = column(name, Storage.STORAGE_DATE).toBuilder().setKind(ColumnKind.COLUMN_KIND_DATE).build();
    return new UploadColumn(table, date) {
      private DateValues.Builder values = DateValues.newBuilder();

      @Override
      void put(Object cell, DataOutputStream out) throws IOException {
        long day = ((LocalDate) cell).toEpochDay();
        if (day != (int) day) {
          throw refused("VALUE_OUT_OF_BOUNDS", "a date does not fit 32-bit days");
        }
        out.writeInt((int) day);
      }

      @Override
      int take(DataInputStream in) throws IOException {
        values.addValues(in == null ? 0 : in.readInt());
        return 4;
      }

      @Override
      void finish(ColumnData.Builder data) {
        data.setDates(values);
        values = DateValues.newBuilder();
      }
    };
  }

  static UploadColumn integer(String table, String name) {
    String rule = "a number is not whole or does not fit 64 bits";
    return new Longs(table, column(name, Storage.STORAGE_INT64), rule) {
      @Override
      long value(Object cell) {
        if (cell instanceof BigInteger) {
          return ((BigInteger) cell).longValueExact();
        }
        if (cell instanceof BigDecimal) {
          return ((BigDecimal) cell).longValueExact();
        }
        if (cell instanceof Double || cell instanceof Float) {
          return whole(((Number) cell).doubleValue());
        }
        return ((Number) cell).longValue();
      }
    };
  }

  private static long whole(double number) {
    if (!Double.isFinite(number)) {
      throw new ArithmeticException();
    }
    return new BigDecimal(number).longValueExact();
  }

  static UploadColumn decimal(String table, String name, int scale) {
    if (scale < 0 || scale > MAX_SCALE) {
      throw new IllegalArgumentException("a decimal has 0 to " + MAX_SCALE + " digits after the point, not " + scale);
    }
    Column.Builder decimal = column(name, Storage.STORAGE_DECIMAL).toBuilder();
    decimal.setKind(ColumnKind.COLUMN_KIND_DECIMAL).setScale(scale);
    String rule = "a number has more than " + scale + " digits after the point or does not fit 64 bits";
    return new Longs(table, decimal.build(), rule) {
      @Override
      long value(Object cell) {
        BigDecimal number = (BigDecimal) cell;
        if (number.signum() == 0) {
          return 0;
        }
        // Of numbers that are larger, or smaller than a digit, the powers of ten may be gigabytes.
        boolean large = number.precision() - (long) number.scale() > MAX_WHOLE_DIGITS;
        if (large || number.scale() - (long) scale >= number.precision()) {
          throw new ArithmeticException();
        }
        return number.setScale(scale, RoundingMode.UNNECESSARY).unscaledValue().longValueExact();
      }
    };
  }

  static UploadColumn dateTime(String table, String name) {
    return new Longs(table, moment(name, ""), "a time does not fit 64-bit microseconds") {
      @Override
      long value(Object cell) {
        LocalDateTime time = (LocalDateTime) cell;
        return micros(time.toEpochSecond(ZoneOffset.UTC), time.getNano());
      }
    };
  }

  static UploadColumn instant(String table, String name, String zone) {
    return new Longs(table, moment(name, zone), "a time does not fit 64-bit microseconds") {
      @Override
      long value(Object cell) {
        Instant time = (Instant) cell;
        return micros(time.getEpochSecond(), time.getNano());
      }
    };
  }

  static UploadColumn duration(String table, String name) {
    Column duration = column(name, Storage.STORAGE_DURATION);
    return new Longs(table, duration, "a length of time does not fit 64-bit microseconds") {
      @Override
      long value(Object cell) {
        Duration length = (Duration) cell;
        return micros(length.getSeconds(), length.getNano());
      }
    };
  }

  static Column column(String name, Storage storage) {
    return Column.newBuilder().setName(name).setStorage(storage).build();
  }

  private static Column moment(String name, String zone) {
    Column.Builder moment = column(name, Storage.STORAGE_DATETIME).toBuilder();
    return moment.setKind(ColumnKind.COLUMN_KIND_DATETIME).setTimeZone(zone).build();
  }

  /** Whole microseconds; finer parts are cut off towards the past. */
  private static long micros(long seconds, int nanos) {
    return Math.addExact(Math.multiplyExact(seconds, 1_000_000L), nanos / 1_000);
  }

  /** What travels as 64-bit integers. */
  private abstract static class Longs extends UploadColumn {
    private final String rule;
    private Int64Values.Builder values = Int64Values.newBuilder();

    Longs(String table, Column column, String rule) {
      super(table, column);
      this.rule = rule;
    }

    /** The number for a cell. ArithmeticException: it breaks the rule. */
    abstract long value(Object cell);

    @Override
    void put(Object cell, DataOutputStream out) throws IOException {
      long value;
      try {
        value = value(cell);
      } catch (ArithmeticException broken) { // its text may hold the number
        throw refused("VALUE_OUT_OF_BOUNDS", rule);
      }
      out.writeLong(value);
    }

    @Override
    int take(DataInputStream in) throws IOException {
      values.addValues(in == null ? 0 : in.readLong());
      return 8;
    }

    @Override
    void finish(ColumnData.Builder data) {
      data.setInt64S(values);
      values = Int64Values.newBuilder();
    }
  }
}
