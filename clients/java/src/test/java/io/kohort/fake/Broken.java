// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.ByteString;
import io.kohort.v1.ColumnData;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleResponse;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/** Streams that break the contract, each in one way. */
public final class Broken {
  private static final ByteString OTHER = ByteString.copyFrom(new byte[32]);

  /** Words of the complaint by what is wrong. */
  public static final Map<String, String> WAYS = ways();

  private Broken() {}

  private static Map<String, String> ways() {
    Map<String, String> ways = new LinkedHashMap<>();
    ways.put("batch-digest", "does not have the digest it came with");
    ways.put("value", "does not have the digest it came with");
    ways.put("null-that-is-not-empty", "patients.count: a null cell is not zero or empty");
    ways.put("short-validity", "patients.alive: the validity bitmap has the wrong length");
    ways.put("trailer-digest", "do not have the digest of its trailer");
    ways.put("trailer-rows", "not the rows that its trailer says");
    ways.put("trailer-units", "fewer units than its trailer says");
    ways.put("no-trailer", "ended without its trailer");
    ways.put("after-trailer", "wrong order");
    ways.put("no-header", "wrong order");
    ways.put("two-headers", "wrong order");
    ways.put("other-units", "other units than were asked for");
    ways.put("no-chunk", "patients.code: a dictionary chunk is missing or repeated");
    ways.put("long-dictionary", "patients.ward: a dictionary is longer than announced");
    ways.put("twice-in-dictionary", "patients.ward: the dictionary holds a string twice");
    ways.put("no-dictionary", "patients.ward: its dictionary has not come");
    ways.put("index", "patients.ward: an index lies beyond the dictionary");
    ways.put("offsets", "patients.drugs: the offsets do not cut the values");
    ways.put("storage", "patients.count: the cells do not fit the storage");
    ways.put("too-few-cells", "patients.seen: expected 97 cells");
    ways.put("too-few-columns", "patients: expected 16 columns");
    ways.put("table", "a table that its header does not name");
    ways.put("units-backwards", "wrong order");
    ways.put("units-beyond", "wrong order");
    ways.put("empty-message", "not asked for");
    return ways;
  }

  /** The stream with one thing wrong. */
  public static List<SampleResponse> stream(List<SampleResponse> whole, String how) {
    List<SampleResponse> messages = new ArrayList<>();
    boolean done = false;
    for (SampleResponse message : whole) {
      List<SampleResponse> changed = done ? List.of(message) : change(message, how);
      done |= !changed.equals(List.of(message));
      messages.addAll(changed);
    }
    if (!done) {
      throw new IllegalArgumentException(how);
    }
    return messages;
  }

  private static List<SampleResponse> change(SampleResponse message, String how) {
    if (message.hasHeader()) {
      return header(message, how);
    }
    if (message.hasTrailer()) {
      return trailer(message, how);
    }
    if (message.hasDictionary()) {
      return dictionary(message, how);
    }
    if (message.getBatch().getTable().equals("patients")) {
      RecordBatch.Builder batch = message.getBatch().toBuilder();
      patients(batch, how);
      return List.of(message.toBuilder().setBatch(batch).build());
    }
    RecordBatch.Builder batch = message.getBatch().toBuilder();
    if (how.equals("units-backwards")) {
      batch.setNextUnit(-1);
    } else if (how.equals("units-beyond")) {
      batch.setNextUnit(Golden.UNITS + 1);
    }
    return List.of(message.toBuilder().setBatch(batch).build());
  }

  private static List<SampleResponse> header(SampleResponse message, String how) {
    switch (how) {
      case "no-header":
        return List.of();
      case "two-headers":
        return List.of(message, message);
      case "empty-message":
        return List.of(message, SampleResponse.getDefaultInstance());
      case "other-units":
        SampleResponse.Builder other = message.toBuilder();
        other.getHeaderBuilder().setUnitCount(message.getHeader().getUnitCount() + 1);
        return List.of(other.build());
      default:
        return List.of(message);
    }
  }

  private static List<SampleResponse> trailer(SampleResponse message, String how) {
    SampleResponse.Builder changed = message.toBuilder();
    switch (how) {
      case "no-trailer":
        return List.of();
      case "after-trailer":
        return List.of(message, message);
      case "trailer-digest":
        changed.getTrailerBuilder().setDigest(OTHER);
        break;
      case "trailer-rows":
        changed.getTrailerBuilder().putRowCounts("visits", 1);
        break;
      case "trailer-units":
        changed.getTrailerBuilder().setUnitCount(message.getTrailer().getUnitCount() - 1);
        break;
      default:
    }
    return List.of(changed.build());
  }

  private static List<SampleResponse> dictionary(SampleResponse message, String how) {
    String column = message.getDictionary().getColumn();
    boolean ward = column.equals("ward");
    SampleResponse.Builder changed = message.toBuilder();
    boolean second = message.getDictionary().getFirstIndex() == 300;
    if (how.equals("no-chunk") && second || how.equals("no-dictionary") && ward) {
      return List.of();
    }
    if (how.equals("long-dictionary") && ward) {
      changed.getDictionaryBuilder().addValues("one more");
    } else if (how.equals("twice-in-dictionary") && ward) {
      changed.getDictionaryBuilder().setValues(0, message.getDictionary().getValues(1));
    }
    return List.of(changed.build());
  }

  private static void patients(RecordBatch.Builder batch, String how) {
    switch (how) {
      case "batch-digest":
        batch.setDigest(OTHER);
        break;
      case "table":
        batch.setTable("staff");
        break;
      case "too-few-columns":
        batch.removeColumns(0);
        break;
      case "value":
        set(batch, "count", data -> { data.getInt64SBuilder().setValues(0, 1); return data; });
        break;
      case "null-that-is-not-empty":
        set(batch, "count", data -> { data.getInt64SBuilder().setValues(5, 1); return data; });
        break;
      case "short-validity":
        set(batch, "alive", data -> data.setValidity(data.getValidity().substring(1)));
        break;
      case "index":
        set(batch, "ward", data -> { data.getIndicesBuilder().setValues(0, -1); return data; });
        break;
      case "offsets":
        set(batch, "drugs", data -> { data.getListsBuilder().setOffsets(1, 9); return data; });
        break;
      case "storage":
        set(batch, "count", data -> data.setDoubles(data.getDoubles()));
        break;
      case "too-few-cells":
        set(batch, "seen", data -> data.setBools(data.getBools().toBuilder().clearValues().addValues(true)));
        break;
      default:
    }
  }

  private static void set(RecordBatch.Builder batch, String column, UnaryOperator<ColumnData.Builder> change) {
    List<Golden.Cells> columns = Golden.TABLES.get("patients");
    for (int i = 0; i < columns.size(); i++) {
      if (columns.get(i).column.getName().equals(column)) {
        batch.setColumns(i, change.apply(batch.getColumns(i).toBuilder()));
      }
    }
  }
}
