// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import io.kohort.v1.ColumnData;
import io.kohort.v1.ListValues;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/** Hashes the cells of one column as RecordBatch in table.proto defines. */
final class ColumnDigest {
  private final MessageDigest validity = sha256();
  private final MessageDigest values = sha256();

  static List<ColumnDigest> ofColumns(int count) {
    List<ColumnDigest> digests = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      digests.add(new ColumnDigest());
    }
    return digests;
  }

  /** The content digest of columns in schema order; they take no more cells after it. */
  static byte[] contentDigest(List<ColumnDigest> columns) {
    MessageDigest whole = sha256();
    for (ColumnDigest column : columns) {
      MessageDigest both = sha256();
      both.update(column.validity.digest());
      whole.update(both.digest(column.values.digest()));
    }
    return whole.digest();
  }

  void add(ColumnData data, int rows) {
    for (int i = 0; i < rows; i++) {
      validity.update((byte) (Cells.isValid(data, i) ? 1 : 0));
    }
    values.update(valueBytes(data));
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) { // every Java has it
      throw new AssertionError(impossible);
    }
  }

  private static byte[] valueBytes(ColumnData data) {
    switch (data.getValuesCase()) {
      case BOOLS:
        ByteBuffer bools = little(data.getBools().getValuesCount());
        data.getBools().getValuesList().forEach(v -> bools.put((byte) (v ? 1 : 0)));
        return bools.array();
      case INT64S:
        ByteBuffer longs = little(8 * data.getInt64S().getValuesCount());
        data.getInt64S().getValuesList().forEach(longs::putLong);
        return longs.array();
      case DOUBLES:
        ByteBuffer doubles = little(8 * data.getDoubles().getValuesCount());
        data.getDoubles().getValuesList().forEach(doubles::putDouble);
        return doubles.array();
      case DATES:
        ByteBuffer dates = little(4 * data.getDates().getValuesCount());
        data.getDates().getValuesList().forEach(dates::putInt);
        return dates.array();
      case INDICES:
        ByteBuffer indices = little(4 * data.getIndices().getValuesCount());
        data.getIndices().getValuesList().forEach(indices::putInt);
        return indices.array();
      case STRINGS:
        ByteArrayOutputStream strings = new ByteArrayOutputStream();
        for (String text : data.getStrings().getValuesList()) {
          byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
          strings.writeBytes(little(4).putInt(utf8.length).array());
          strings.writeBytes(utf8);
        }
        return strings.toByteArray();
      case LISTS:
        ListValues lists = data.getLists();
        int rows = lists.getOffsetsCount() - 1;
        ByteBuffer out = little(4 * (rows + lists.getValuesCount()));
        for (int row = 0; row < rows; row++) {
          out.putInt(lists.getOffsets(row + 1) - lists.getOffsets(row));
          for (int i = lists.getOffsets(row); i < lists.getOffsets(row + 1); i++) {
            out.putInt(lists.getValues(i));
          }
        }
        return out.array();
      default:
        throw new ContractException("a column without values");
    }
  }

  private static ByteBuffer little(int size) {
    return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
  }
}
