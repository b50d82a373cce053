// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import io.kohort.v1.Column;
import io.kohort.v1.ColumnKind;
import io.kohort.v1.Dictionary;
import io.kohort.v1.ExpectedDigest;
import io.kohort.v1.Handling;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.TableSchema;
import io.kohort.v1.UploadDatasetRequest;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;

/** Rows in a spool as the messages of an upload, as often as they are needed. */
final class SpooledRows {
  /** Bytes of rows that wait in memory. */
  private static final int MEMORY = 8 << 20;

  private static final int DICTIONARY_BYTES = 768 << 10;
  private static final int BATCH_BYTES = 768 << 10;
  private static final int ROW_BYTES = 5 << 19; // with the batch before it still below the limit of 3.5 MiB

  private final String table;
  private final List<UploadColumn> columns;
  private final Spool spool = new Spool(MEMORY);
  private final List<ByteString> digests = new ArrayList<>();
  private long count;

  SpooledRows(String table, List<UploadColumn> columns) {
    this.table = table;
    this.columns = columns;
  }

  /** Where the columns write their cells, row after row. */
  DataOutputStream out() {
    return spool.out();
  }

  void rowWritten() {
    count++;
  }

  long count() {
    return count;
  }

  void close() {
    try {
      spool.close();
    } catch (IOException harmless) { // its file cannot be read by anyone else
      return;
    }
  }

  /** The schema of the rows, with what a person declared about them in front; storage stays as the cells are. */
  TableSchema schema(TableSchema declared, String subjectKey) {
    Map<String, Column> known = new HashMap<>();
    declared.getColumnsList().forEach(column -> known.put(column.getName(), column));
    TableSchema.Builder schema = declared.toBuilder().setName(table).clearColumns();
    if (!subjectKey.isEmpty()) {
      schema.setSubjectKey(subjectKey);
    }
    for (UploadColumn column : columns) {
      Column found = column.column();
      schema.addColumns(declare(found, known.getOrDefault(found.getName(), found)));
    }
    return schema.build();
  }

  private static Column declare(Column found, Column declared) {
    Column.Builder both = declared.toBuilder();
    both.setStorage(found.getStorage()).setScale(found.getScale()).setTimeZone(found.getTimeZone());
    both.setNullable(found.getNullable() || declared.getNullable());
    if (declared.getKind() == ColumnKind.COLUMN_KIND_UNSPECIFIED) {
      both.setKind(found.getKind());
    }
    if (declared.getHandling() == Handling.HANDLING_UNSPECIFIED) {
      both.setHandling(found.getHandling());
    }
    return both.build();
  }

  /** The content digest of all rows. Reads them once. */
  ExpectedDigest digest() throws IOException {
    TableSchema.Builder schema = TableSchema.newBuilder().setName(table);
    columns.forEach(column -> schema.addColumns(column.column()));
    Layout layout = new Layout(schema.build());
    ContentDigest digest = new ContentDigest(List.of(layout));
    Dictionaries dictionaries = new Dictionaries();
    dictionaries().forEach(dictionaries::add);
    digests.clear();
    for (Batches batches = new Batches(); batches.hasNext(); ) {
      RecordBatch batch = batches.batch().build();
      Cells[] cells = Decoder.decode(batch, layout, dictionaries);
      digests.add(ByteString.copyFrom(digest.add(table, cells, batch.getRowCount())));
    }
    ByteString all = ByteString.copyFrom(digest.digest());
    return ExpectedDigest.newBuilder().setTable(table).setSha256(all).build();
  }

  /** What follows the header, table after table, from the start. Call {@link #digest} of each before. */
  static Iterator<UploadDatasetRequest> messages(List<SpooledRows> tables) {
    Iterator<SpooledRows> left = tables.iterator();
    return new Iterator<>() {
      private Iterator<UploadDatasetRequest> now = Collections.emptyIterator();

      @Override
      public boolean hasNext() {
        while (!now.hasNext() && left.hasNext()) {
          now = left.next().messages();
        }
        return now.hasNext();
      }

      @Override
      public UploadDatasetRequest next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return now.next();
      }
    };
  }

  private Iterator<UploadDatasetRequest> messages() {
    try {
      return new Messages();
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  private List<Dictionary> dictionaries() {
    List<Dictionary> chunks = new ArrayList<>();
    for (UploadColumn column : columns) {
      List<String> strings = column.dictionary();
      if (strings == null) {
        continue;
      }
      Dictionary.Builder chunk = chunk(column, strings.size(), 0);
      int bytes = 0;
      for (int i = 0; i < strings.size(); i++) {
        int more = UploadStrings.utf8Bytes(strings.get(i));
        if (bytes > 0 && bytes + more > DICTIONARY_BYTES) {
          chunks.add(chunk.build());
          chunk = chunk(column, strings.size(), i);
          bytes = 0;
        }
        chunk.addValues(strings.get(i));
        bytes += more;
      }
      chunks.add(chunk.build()); // an empty dictionary is told, too
    }
    return chunks;
  }

  private Dictionary.Builder chunk(UploadColumn column, int total, int first) {
    return Dictionary.newBuilder()
        .setTable(table)
        .setColumn(column.column().getName())
        .setTotal(total)
        .setFirstIndex(first);
  }

  /** Cuts the rows into batches, each time at the same places. */
  private final class Batches {
    private final DataInputStream in = spool.in();
    private long left = count;

    Batches() throws IOException {}

    boolean hasNext() {
      return left > 0;
    }

    RecordBatch.Builder batch() throws IOException {
      int rows = 0;
      for (int bytes = 0; left > 0 && bytes < BATCH_BYTES; rows++, left--) {
        int row = 0;
        for (UploadColumn column : columns) {
          row += column.read(in);
        }
        if (row > ROW_BYTES) {
          throw UploadColumn.refused("LIMIT_EXCEEDED", table, "a row takes more than 2.5 MiB");
        }
        bytes += row;
      }
      RecordBatch.Builder batch = RecordBatch.newBuilder().setTable(table).setRowCount(rows);
      columns.forEach(column -> batch.addColumns(column.batch()));
      return batch;
    }
  }

  private final class Messages implements Iterator<UploadDatasetRequest> {
    private final Iterator<Dictionary> dictionaries = dictionaries().iterator();
    private final Iterator<ByteString> digest = digests.iterator();
    private final Batches batches;

    Messages() throws IOException {
      columns.forEach(UploadColumn::batch); // an upload that broke left rows of a batch
      batches = new Batches();
    }

    @Override
    public boolean hasNext() {
      return dictionaries.hasNext() || batches.hasNext();
    }

    @Override
    public UploadDatasetRequest next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      UploadDatasetRequest.Builder message = UploadDatasetRequest.newBuilder();
      if (dictionaries.hasNext()) {
        return message.setDictionary(dictionaries.next()).build();
      }
      try {
        return message.setBatch(batches.batch().setDigest(digest.next())).build();
      } catch (IOException failed) {
        throw new UncheckedIOException(failed);
      }
    }
  }
}
