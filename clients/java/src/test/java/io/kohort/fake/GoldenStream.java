// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.ByteString;
import io.kohort.v1.BoolValues;
import io.kohort.v1.ColumnData;
import io.kohort.v1.DateValues;
import io.kohort.v1.Dictionary;
import io.kohort.v1.DoubleValues;
import io.kohort.v1.IndexValues;
import io.kohort.v1.Int64Values;
import io.kohort.v1.ListValues;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.SampleTrailer;
import io.kohort.v1.StringValues;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The messages of {@link Golden}, made cell by cell: encoding and digest are the contract's text once more,
 * in the plainest Java, so that they can disagree with the client's.
 */
public final class GoldenStream {
  private static final int UNITS_PER_BATCH = 97; // no multiple of 8: validity bitmaps end within a byte
  private static final int STRINGS_PER_CHUNK = 300;

  private GoldenStream() {}

  /** The whole answer to a request. */
  public static List<SampleResponse> of(SampleRequest request) {
    int start = (int) request.getStartUnit();
    int stop = start + (int) request.getUnitCount();
    List<SampleResponse> messages = new ArrayList<>();
    SampleHeader header =
        SampleHeader.newBuilder()
            .setModel(request.getModel())
            .setContentDigest(ByteString.copyFrom(new byte[32]))
            .setSeed(request.hasSeed() ? request.getSeed() : 4242)
            .setStartUnit(start)
            .setUnitCount(request.getUnitCount())
            .setSchema(Golden.schema())
            .setRuntimeFingerprint("golden/1")
            .setSynthetic(true)
            .build();
    messages.add(SampleResponse.newBuilder().setHeader(header).build());
    Golden.TABLES.forEach((table, columns) -> columns.forEach(cells -> addDictionary(messages, table, cells)));
    for (int first = start; first < stop; first += UNITS_PER_BATCH) {
      int last = Math.min(first + UNITS_PER_BATCH, stop);
      for (String table : Golden.TABLES.keySet()) {
        // Only the last table of a group completes its units.
        long next = table.equals("visits") ? last : first;
        messages.add(SampleResponse.newBuilder().setBatch(batch(table, first, last, next)).build());
      }
    }
    SampleTrailer.Builder trailer =
        SampleTrailer.newBuilder().setUnitCount(stop - start).setDigest(digest(Golden.TABLES, start, stop));
    Golden.TABLES.keySet().forEach(
        table -> trailer.putRowCounts(table, Golden.firstRow(table, stop) - Golden.firstRow(table, start)));
    messages.add(SampleResponse.newBuilder().setTrailer(trailer).build());
    return messages;
  }

  private static void addDictionary(List<SampleResponse> messages, String table, Golden.Cells cells) {
    List<String> strings = cells.dictionary;
    for (int first = 0; strings != null && (first == 0 || first < strings.size()); first += STRINGS_PER_CHUNK) {
      int last = Math.min(first + STRINGS_PER_CHUNK, strings.size());
      Dictionary chunk =
          Dictionary.newBuilder()
              .setTable(table)
              .setColumn(cells.column.getName())
              .setFirstIndex(first)
              .addAllValues(strings.subList(first, last))
              .setTotal(strings.size())
              .build();
      messages.add(SampleResponse.newBuilder().setDictionary(chunk).build());
    }
  }

  private static RecordBatch batch(String table, int first, int last, long next) {
    RecordBatch.Builder batch =
        RecordBatch.newBuilder()
            .setTable(table)
            .setFirstUnit(first)
            .setNextUnit(next)
            .setRowCount(Golden.firstRow(table, last) - Golden.firstRow(table, first));
    for (Golden.Cells cells : Golden.TABLES.get(table)) {
      batch.addColumns(data(cells, Golden.cells(table, cells, first, last)));
    }
    return batch.setDigest(digest(Map.of(table, Golden.TABLES.get(table)), first, last)).build();
  }

  private static ColumnData data(Golden.Cells cells, List<Object> values) {
    ColumnData.Builder data = ColumnData.newBuilder();
    if (values.contains(null)) {
      byte[] bits = new byte[(values.size() + 7) / 8];
      for (int i = 0; i < values.size(); i++) {
        bits[i / 8] |= (byte) (values.get(i) == null ? 0 : 1 << i % 8);
      }
      data.setValidity(ByteString.copyFrom(bits));
    }
    switch (cells.column.getStorage()) {
      case STORAGE_BOOL:
        BoolValues.Builder bools = BoolValues.newBuilder();
        values.forEach(value -> bools.addValues(value != null && (Boolean) value));
        return data.setBools(bools).build();
      case STORAGE_DOUBLE:
        DoubleValues.Builder doubles = DoubleValues.newBuilder();
        values.forEach(value -> doubles.addValues(value == null ? 0 : (Double) value));
        return data.setDoubles(doubles).build();
      case STORAGE_DATE:
        DateValues.Builder dates = DateValues.newBuilder();
        values.forEach(value -> dates.addValues(days(value)));
        return data.setDates(dates).build();
      case STORAGE_STRING:
        return strings(data, cells, values);
      case STORAGE_STRING_LIST:
        ListValues.Builder lists = ListValues.newBuilder().addOffsets(0);
        for (Object value : values) {
          list(value).forEach(string -> lists.addValues(cells.dictionary.indexOf(string)));
          lists.addOffsets(lists.getValuesCount());
        }
        return data.setLists(lists).build();
      default:
        Int64Values.Builder longs = Int64Values.newBuilder();
        values.forEach(value -> longs.addValues(Golden.number(value)));
        return data.setInt64S(longs).build();
    }
  }

  private static ColumnData strings(ColumnData.Builder data, Golden.Cells cells, List<Object> values) {
    if (cells.dictionary == null) {
      StringValues.Builder strings = StringValues.newBuilder();
      values.forEach(value -> strings.addValues(value == null ? "" : (String) value));
      return data.setStrings(strings).build();
    }
    IndexValues.Builder indices = IndexValues.newBuilder();
    values.forEach(value -> indices.addValues(value == null ? 0 : cells.dictionary.indexOf(value)));
    return data.setIndices(indices).build();
  }

  private static int days(Object value) {
    return value == null ? 0 : (int) ((LocalDate) value).toEpochDay();
  }

  private static List<?> list(Object value) {
    return value == null ? List.of() : (List<?>) value;
  }

  private static ByteString digest(Map<String, List<Golden.Cells>> tables, int start, int stop) {
    MessageDigest whole = sha256();
    tables.forEach(
        (table, columns) -> {
          for (Golden.Cells cells : columns) {
            MessageDigest validity = sha256();
            MessageDigest content = sha256();
            for (Object value : Golden.cells(table, cells, start, stop)) {
              validity.update((byte) (value == null ? 0 : 1));
              content.update(bytes(cells, value));
            }
            MessageDigest both = sha256();
            both.update(validity.digest());
            whole.update(both.digest(content.digest()));
          }
        });
    return ByteString.copyFrom(whole.digest());
  }

  private static byte[] bytes(Golden.Cells cells, Object value) {
    switch (cells.column.getStorage()) {
      case STORAGE_BOOL:
        return new byte[] {(byte) (value != null && (Boolean) value ? 1 : 0)};
      case STORAGE_DOUBLE:
        return little(8).putDouble(value == null ? 0 : (Double) value).array();
      case STORAGE_DATE:
        return little(4).putInt(days(value)).array();
      case STORAGE_STRING:
        if (cells.dictionary != null) {
          return little(4).putInt(value == null ? 0 : cells.dictionary.indexOf(value)).array();
        }
        byte[] utf8 = value == null ? new byte[0] : ((String) value).getBytes(StandardCharsets.UTF_8);
        return little(4 + utf8.length).putInt(utf8.length).put(utf8).array();
      case STORAGE_STRING_LIST:
        ByteBuffer list = little(4 + 4 * list(value).size()).putInt(list(value).size());
        list(value).forEach(string -> list.putInt(cells.dictionary.indexOf(string)));
        return list.array();
      default:
        return little(8).putLong(Golden.number(value)).array();
    }
  }

  private static ByteBuffer little(int size) {
    return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
