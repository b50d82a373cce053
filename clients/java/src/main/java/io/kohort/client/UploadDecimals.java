// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.ColumnKind;
import io.kohort.v1.Int64Values;
import io.kohort.v1.Storage;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.RoundingMode;

/** Decimals whose scale is that of the cell that has the largest: the spool keeps each in its own. */
final class UploadDecimals extends UploadColumn {
  private static final int MAX_DIGITS = 18;

  private int scale;
  private int wholeDigits;
  private Int64Values.Builder values = Int64Values.newBuilder();

  UploadDecimals(String table, String name) {
    super(table, UploadColumns.column(name, Storage.STORAGE_DECIMAL));
  }

  @Override
  Column column() {
    return super.column().toBuilder().setKind(ColumnKind.COLUMN_KIND_DECIMAL).setScale(scale).build();
  }

  @Override
  void put(Object cell, DataOutputStream out) throws IOException {
    BigDecimal value = (BigDecimal) cell;
    // Of any other number the exact text may be gigabytes long.
    boolean fits = value.scale() <= UploadColumns.MAX_SCALE && value.precision() - (long) value.scale() <= MAX_DIGITS;
    if (fits) {
      value = value.scale() < 0 ? value.setScale(0, RoundingMode.UNNECESSARY) : value;
      scale = Math.max(scale, value.scale());
      wholeDigits = Math.max(wholeDigits, value.precision() - value.scale());
    }
    if (!fits || scale + wholeDigits > MAX_DIGITS) {
      throw refused("VALUE_OUT_OF_BOUNDS", "the numbers have more than 12 digits after the point or 18 in all");
    }
    out.writeByte(value.scale());
    out.writeLong(value.unscaledValue().longValueExact());
  }

  @Override
  int take(DataInputStream in) throws IOException {
    long value = 0;
    if (in != null) {
      int shift = scale - in.readByte();
      for (value = in.readLong(); shift > 0; shift--) {
        value *= 10;
      }
    }
    values.addValues(value);
    return Long.BYTES;
  }

  @Override
  void finish(ColumnData.Builder data) {
    data.setInt64S(values);
    values = Int64Values.newBuilder();
  }
}
