// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import io.grpc.ManagedChannel;
import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.Condition;
import io.kohort.v1.Dictionary;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleFormat;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.SampleTrailer;
import io.kohort.v1.SamplingServiceGrpc;
import io.kohort.v1.TableSchema;
import io.kohort.v1.ValueRange;
import io.kohort.v1.ValueSet;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Takes the messages of one Sample stream in and checks them. */
final class SampleReader {
  private final Map<String, TableSchema> tables = new LinkedHashMap<>();
  private final Map<List<String>, List<String>> dictionaries = new HashMap<>();
  private final Map<String, List<ColumnDigest>> digests = new LinkedHashMap<>();
  private final Map<String, Long> rows = new HashMap<>();
  private final Map<String, Map<String, List<Object>>> cells = new LinkedHashMap<>();
  private SampleHeader header;
  private SampleTrailer trailer;
  private long nextUnit;

  static Object read(
      ManagedChannel channel, String model, long start, long count, long seed, List<String> words) {
    SampleRequest request =
        SampleRequest.newBuilder()
            .setModel(model)
            .setStartUnit(start)
            .setUnitCount(count)
            .setSeed(seed)
            .setFormat(SampleFormat.SAMPLE_FORMAT_COLUMNS)
            .addAllConditions(conditions(words))
            .build();
    SampleReader reader = new SampleReader();
    SamplingServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(Driver.DEADLINE_SECONDS, TimeUnit.SECONDS)
        .sample(request)
        .forEachRemaining(reader::take);
    return reader.result();
  }

  /** Reads COLUMN VALUE COLUMN LOW HIGH, or nothing. */
  private static List<Condition> conditions(List<String> words) {
    if (words.isEmpty()) {
      return List.of();
    }
    ValueSet value = ValueSet.newBuilder().addValues(words.get(1)).build();
    ValueRange range =
        ValueRange.newBuilder().setMinimum(words.get(3)).setMaximum(words.get(4)).build();
    return List.of(
        Condition.newBuilder().setColumn(words.get(0)).setOneOf(value).build(),
        Condition.newBuilder().setColumn(words.get(2)).setRange(range).build());
  }

  private void take(SampleResponse message) {
    if (message.hasHeader() != (header == null) || trailer != null) {
      throw new ContractException("the messages of the stream are out of order");
    }
    switch (message.getPartCase()) {
      case HEADER:
        header = message.getHeader();
        header.getSchema().getTablesList().forEach(this::expect);
        break;
      case DICTIONARY:
        Dictionary chunk = message.getDictionary();
        List<String> strings =
            dictionaries.computeIfAbsent(
                List.of(chunk.getTable(), chunk.getColumn()), key -> new ArrayList<>());
        if (chunk.getFirstIndex() != strings.size()) {
          throw new ContractException(chunk.getColumn() + ": a dictionary chunk is missing");
        }
        strings.addAll(chunk.getValuesList());
        break;
      case BATCH:
        take(message.getBatch());
        break;
      case TRAILER:
        trailer = message.getTrailer();
        break;
      default:
        throw new ContractException("the stream holds a message that was not asked for");
    }
  }

  private void expect(TableSchema table) {
    tables.put(table.getName(), table);
    digests.put(table.getName(), ColumnDigest.ofColumns(table.getColumnsCount()));
    rows.put(table.getName(), 0L);
    Map<String, List<Object>> columns = new LinkedHashMap<>();
    table.getColumnsList().forEach(column -> columns.put(column.getName(), new ArrayList<>()));
    cells.put(table.getName(), columns);
  }

  private void take(RecordBatch batch) {
    TableSchema table = tables.get(batch.getTable());
    if (table == null || table.getColumnsCount() != batch.getColumnsCount()) {
      throw new ContractException("a batch does not fit its table");
    }
    List<ColumnDigest> alone = ColumnDigest.ofColumns(table.getColumnsCount());
    for (int i = 0; i < table.getColumnsCount(); i++) {
      Column column = table.getColumns(i);
      ColumnData data = batch.getColumns(i);
      List<String> dictionary = dictionaries.get(List.of(table.getName(), column.getName()));
      cells
          .get(table.getName())
          .get(column.getName())
          .addAll(Cells.texts(column, data, batch.getRowCount(), dictionary));
      alone.get(i).add(data, batch.getRowCount());
      digests.get(table.getName()).get(i).add(data, batch.getRowCount());
    }
    if (!MessageDigest.isEqual(ColumnDigest.contentDigest(alone), batch.getDigest().toByteArray())) {
      throw new ContractException("a batch does not have the digest it came with");
    }
    rows.merge(table.getName(), (long) batch.getRowCount(), Long::sum);
    nextUnit = batch.getNextUnit();
  }

  private Object result() {
    if (trailer == null) {
      throw new ContractException("the stream ended without a trailer");
    }
    List<ColumnDigest> columns = new ArrayList<>();
    digests.values().forEach(columns::addAll);
    byte[] expected = trailer.getDigest().toByteArray();
    if (!MessageDigest.isEqual(ColumnDigest.contentDigest(columns), expected)) {
      throw new ContractException("the stream does not have the digest of its trailer");
    }
    if (!rows.equals(trailer.getRowCountsMap())) {
      throw new ContractException("the stream does not have the rows of its trailer");
    }
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("model", header.getModel());
    result.put("seed", String.valueOf(header.getSeed()));
    result.put("synthetic", header.getSynthetic());
    result.put("runtime_fingerprint", header.getRuntimeFingerprint());
    result.put("units", String.valueOf(trailer.getUnitCount()));
    result.put("next_unit", String.valueOf(nextUnit));
    result.put("digest", Upload.hex(expected));
    result.put("tables", cells);
    return result;
  }
}
