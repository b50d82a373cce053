// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import io.kohort.client.Batch;
import io.kohort.client.KohortClient;
import io.kohort.client.Row;
import io.kohort.client.Sample;
import io.kohort.client.SampleCall;
import io.kohort.v1.Column;
import io.kohort.v1.TableSchema;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads samples, each in one of the forms that the library has. */
final class Samples {
  private Samples() {}

  /** MODEL START COUNT SEED [COLUMN VALUE COLUMN LOW HIGH]. */
  static Object whole(KohortClient client, List<String> args) {
    SampleCall call = call(client, args.get(0), args.get(1), args.get(2), args.get(3));
    if (args.size() > 4) {
      call.where(args.get(4), args.get(5));
      call.between(args.get(6), Long.parseLong(args.get(7)), Long.parseLong(args.get(8)));
    }
    try (Sample sample = call.open()) {
      Map<String, Map<String, List<Object>>> tables = new LinkedHashMap<>();
      for (TableSchema table : sample.header().getSchema().getTablesList()) {
        Map<String, List<Object>> columns = new LinkedHashMap<>();
        table.getColumnsList().forEach(column -> columns.put(column.getName(), new ArrayList<>()));
        tables.put(table.getName(), columns);
      }
      long nextUnit = 0;
      for (Batch batch : sample.batches()) {
        for (Column column : batch.schema().getColumnsList()) {
          List<Object> cells = tables.get(batch.table()).get(column.getName());
          for (int row = 0; row < batch.rowCount(); row++) {
            cells.add(Cells.text(batch.value(column.getName(), row)));
          }
        }
        nextUnit = batch.nextUnit();
      }
      Map<String, Object> result = new LinkedHashMap<>();
      result.put("model", sample.header().getModel());
      result.put("seed", String.valueOf(sample.header().getSeed()));
      result.put("synthetic", sample.header().getSynthetic());
      result.put("runtime_fingerprint", sample.header().getRuntimeFingerprint());
      result.put("units", String.valueOf(sample.header().getUnitCount()));
      result.put("next_unit", String.valueOf(nextUnit));
      result.put("digest", sample.trailer().map(trailer -> Cells.hex(trailer.getDigest())).orElse(""));
      result.put("streams", sample.streams());
      result.put("tables", tables);
      return result;
    }
  }

  /** MODEL START COUNT SEED batches|rows|csv. */
  static Object read(KohortClient client, List<String> args) throws IOException {
    Map<String, Long> rows = new LinkedHashMap<>();
    Map<String, Object> result = new LinkedHashMap<>();
    long begun = System.nanoTime();
    try (Sample sample = call(client, args.get(0), args.get(1), args.get(2), args.get(3)).open()) {
      switch (args.get(4)) {
        case "batches":
          sample.batches().forEach(batch -> rows.merge(batch.table(), (long) batch.rowCount(), Long::sum));
          break;
        case "rows":
          for (Row row : sample) {
            for (int i = 0; i < row.schema().getColumnsCount(); i++) {
              row.get(i);
            }
            rows.merge(row.table(), 1L, Long::sum);
          }
          break;
        case "csv":
          Counter counter = new Counter();
          try (Writer out = new BufferedWriter(new OutputStreamWriter(counter, StandardCharsets.UTF_8))) {
            sample.writeCsv(table -> out);
          }
          sample.trailer().ifPresent(trailer -> rows.putAll(trailer.getRowCountsMap()));
          result.put("bytes", counter.bytes);
          break;
        default:
          throw new IllegalArgumentException("batches, rows or csv");
      }
      result.put("seconds", (System.nanoTime() - begun) / 1e9);
      result.put("streams", sample.streams());
    }
    Map<String, String> texts = new LinkedHashMap<>();
    rows.forEach((table, count) -> texts.put(table, String.valueOf(count)));
    result.put("rows", texts);
    return result;
  }

  /** MODEL COUNT SEED: leaves early; the client must work on. */
  static Object first(KohortClient client, List<String> args) {
    int rows;
    try (Sample sample = call(client, args.get(0), "0", args.get(1), args.get(2)).open()) {
      rows = sample.batches().iterator().next().rowCount();
    }
    return Map.of("rows", String.valueOf(rows), "model", client.model(args.get(0)).getName());
  }

  private static SampleCall call(KohortClient client, String model, String start, String count, String seed) {
    return client.sample(model)
        .startUnit(Long.parseLong(start))
        .units(Long.parseLong(count))
        .seed(Long.parseLong(seed));
  }

  private static final class Counter extends OutputStream {
    long bytes;

    @Override
    public void write(int b) {
      bytes++;
    }

    @Override
    public void write(byte[] b, int offset, int length) {
      bytes += length;
    }
  }
}
