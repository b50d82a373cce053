// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The content digest of the rows of a stream, as {@code RecordBatch} in table.proto defines it. Each column's
 * bytes are laid out once, by copying whole arrays, and hashed twice: for their batch and for the stream.
 */
final class ContentDigest {
  private final Map<String, ColumnHash[]> tables = new LinkedHashMap<>();
  private final MessageDigest inner = Digests.sha256();
  private final MessageDigest outer = Digests.sha256();
  private byte[] scratch = new byte[0];
  private byte[] ones = new byte[0];

  /** The tables to come, in the order that counts. */
  ContentDigest(Iterable<Layout> layouts) {
    for (Layout layout : layouts) {
      ColumnHash[] columns = new ColumnHash[layout.width()];
      Arrays.setAll(columns, i -> new ColumnHash());
      tables.put(layout.table(), columns);
    }
  }

  /** Adds the rows of a batch; the digest of that batch alone. */
  byte[] add(String table, Cells[] batch, int rows) {
    ColumnHash[] columns = tables.get(table);
    for (int i = 0; i < columns.length; i++) {
      byte[] valid = validity(batch[i], rows);
      columns[i].validity.update(valid, 0, rows);
      inner.update(valid, 0, rows);
      byte[] ofValidity = inner.digest();
      int size = layOut(batch[i], rows);
      columns[i].values.update(scratch, 0, size);
      inner.update(scratch, 0, size);
      byte[] ofValues = inner.digest();
      inner.update(ofValidity);
      outer.update(inner.digest(ofValues));
    }
    return outer.digest();
  }

  /** The digest of all rows added; no more may follow. */
  byte[] digest() {
    for (ColumnHash[] columns : tables.values()) {
      for (ColumnHash column : columns) {
        inner.update(column.validity.digest());
        outer.update(inner.digest(column.values.digest()));
      }
    }
    return outer.digest();
  }

  private byte[] validity(Cells cells, int rows) {
    if (cells.validity == null) {
      if (ones.length < rows) {
        ones = new byte[rows];
        Arrays.fill(ones, (byte) 1);
      }
      return ones;
    }
    byte[] valid = reserve(rows);
    for (int i = 0; i < rows; i++) {
      valid[i] = (byte) (cells.validity[i >> 3] >> (i & 7) & 1);
    }
    return valid;
  }

  /** Writes the values of a column to the start of {@link #scratch}; how many bytes they are. */
  private int layOut(Cells cells, int rows) {
    if (cells.longs != null) {
      little(8 * rows).asLongBuffer().put(cells.longs, 0, rows);
      return 8 * rows;
    }
    if (cells.doubles != null) {
      little(8 * rows).asDoubleBuffer().put(cells.doubles, 0, rows);
      return 8 * rows;
    }
    if (cells.offsets != null) {
      return lists(cells, rows);
    }
    if (cells.ints != null) {
      little(4 * rows).asIntBuffer().put(cells.ints, 0, rows);
      return 4 * rows;
    }
    return cells.booleans != null ? booleans(cells.booleans, rows) : strings(cells.strings, rows);
  }

  private int booleans(boolean[] values, int rows) {
    byte[] out = reserve(rows);
    for (int i = 0; i < rows; i++) {
      out[i] = (byte) (values[i] ? 1 : 0);
    }
    return rows;
  }

  private int lists(Cells cells, int rows) {
    int size = 4 * (rows + cells.ints.length);
    ByteBuffer out = little(size);
    for (int row = 0; row < rows; row++) {
      int start = cells.offsets[row];
      int end = cells.offsets[row + 1];
      out.putInt(end - start);
      for (int i = start; i < end; i++) {
        out.putInt(cells.ints[i]);
      }
    }
    return size;
  }

  private int strings(String[] values, int rows) {
    int size = 0;
    for (int i = 0; i < rows; i++) {
      byte[] utf8 = values[i].getBytes(StandardCharsets.UTF_8);
      int end = size + 4 + utf8.length;
      if (end > scratch.length) {
        scratch = Arrays.copyOf(scratch, Math.max(end, 2 * scratch.length));
      }
      for (int shift = 0; shift < 32; shift += 8) {
        scratch[size++] = (byte) (utf8.length >> shift);
      }
      System.arraycopy(utf8, 0, scratch, size, utf8.length);
      size = end;
    }
    return size;
  }

  private ByteBuffer little(int size) {
    return ByteBuffer.wrap(reserve(size)).order(ByteOrder.LITTLE_ENDIAN);
  }

  private byte[] reserve(int size) {
    if (scratch.length < size) {
      scratch = new byte[size];
    }
    return scratch;
  }

  private static final class ColumnHash {
    final MessageDigest validity = Digests.sha256();
    final MessageDigest values = Digests.sha256();
  }
}
