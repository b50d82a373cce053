// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kohort.fake.Golden;
import io.kohort.v1.Column;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class SampleTest extends SamplingFixture {
  private Sample golden(int start, int units) {
    return client.sample("models/golden").startUnit(start).units(units).seed(7).open();
  }

  @Test
  void everyCellOfEveryKind() {
    for (int[] stretch : new int[][] {{0, Golden.UNITS}, {100, 3}, {0, 1}}) {
      try (Sample sample = golden(stretch[0], stretch[1])) {
        List<Batch> batches = new ArrayList<>();
        sample.batches().forEach(batches::add);
        sample.header().getSchema().getTablesList().forEach(
            table -> {
              for (Column column : table.getColumnsList()) {
                List<Object> cells = new ArrayList<>();
                for (Batch batch : batches) {
                  for (int row = 0; batch.table().equals(table.getName()) && row < batch.rowCount(); row++) {
                    assertEquals(batch.value(column.getName(), row) == null, batch.isNull(column.getName(), row));
                    cells.add(batch.value(column.getName(), row));
                  }
                }
                String name = table.getName() + "." + column.getName();
                int stop = stretch[0] + stretch[1];
                assertEquals(Golden.cells(table.getName(), column.getName(), stretch[0], stop), cells, name);
              }
            });
        assertEquals(1, sample.streams());
        assertEquals(stretch[1], sample.trailer().orElseThrow().getUnitCount());
      }
    }
  }

  @Test
  void theHeaderIsThereAtOnce() {
    try (Sample sample = client.sample("models/golden").units(1).open()) {
      assertEquals("models/golden", sample.header().getModel());
      assertEquals(4242, sample.header().getSeed());
      assertTrue(sample.header().getSynthetic());
      assertTrue(sample.trailer().isEmpty());
    }
  }

  @Test
  void typedColumns() {
    try (Sample sample = golden(0, 97)) {
      Batch batch = sample.batches().iterator().next();
      assertEquals("patients", batch.table());
      assertEquals(97, batch.rowCount());
      assertEquals(0, batch.firstUnit());
      assertEquals(0, batch.firstRowInUnit());
      assertEquals(0, batch.nextUnit());
      assertArrayEquals(new boolean[] {true, false, false, true}, head(batch.booleans("alive"), 4));
      assertArrayEquals(
          new long[] {0, -1, Long.MAX_VALUE, Long.MIN_VALUE, (1L << 53) + 1, 0}, head(batch.longs("count"), 6));
      assertArrayEquals(new long[] {0, -1, 5, -250}, head(batch.longs("dose"), 4));
      assertEquals(-0.0, batch.doubles("ratio")[3]);
      assertArrayEquals(new int[] {0, -1, 0, -719162}, Arrays.copyOf(batch.days("born"), 4));
      assertEquals("Ward A", batch.dictionary("ward").get(batch.indices("ward")[1]));
      assertEquals(List.of(), batch.dictionary("remark"));
      assertEquals("syn-000096", batch.strings("id")[96]);
      assertNull(batch.strings("ward")[10]);
      assertArrayEquals(new int[] {0, 0, 0, 1, 5, 45}, Arrays.copyOf(batch.offsets("drugs"), 6));
      assertEquals("δ", batch.dictionary("drugs").get(batch.indices("drugs")[1]));
      assertFalse(batch.hasNulls("seen"));
      assertTrue(batch.hasNulls("alive"));
    }
  }

  private static boolean[] head(boolean[] values, int count) {
    return Arrays.copyOf(values, count);
  }

  private static long[] head(long[] values, int count) {
    return Arrays.copyOf(values, count);
  }

  @Test
  void rowsGiveTypedCells() {
    try (Sample sample = golden(0, 97)) {
      Iterator<Row> rows = sample.iterator();
      Row first = rows.next();
      assertEquals("patients", first.table());
      assertTrue(first.getBoolean("alive"));
      assertEquals(0, first.getLong("count"));
      assertEquals(0, first.getInt("count"));
      assertTrue(Double.isNaN(first.getDouble("ratio")));
      assertEquals(0.0, first.getDouble("dose"));
      assertEquals(1e-12, first.getDouble("trace"));
      assertEquals(new BigDecimal("0.00"), first.getDecimal("dose"));
      assertEquals(BigDecimal.ZERO, first.getDecimal("count"));
      assertEquals("", first.getString("ward"));
      assertEquals(LocalDate.EPOCH, first.getDate("born"));
      assertEquals(LocalDateTime.of(1, 1, 1, 0, 0), first.getDateTime("local"));
      assertNull(first.getInstant("moment"));
      assertEquals(Duration.ZERO, first.getDuration("stay"));
      assertEquals(List.of(), first.getStrings("drugs"));
      assertTrue(first.isNull("never"));
      assertEquals("syn-000000", first.get(0));
      Row second = rows.next();
      assertEquals(Instant.parse("0001-01-01T00:00:00Z"), second.getInstant("moment"));
      assertNull(second.getStrings("drugs"));
      assertNull(second.get("remark"));
      assertEquals(16, second.toMap().size());
      assertEquals("id", second.toMap().keySet().iterator().next());
      assertEquals(-0.01, second.getDouble("dose"));
    }
  }

  @Test
  void rowsOfAllTablesComeInOrder() {
    try (Sample sample = golden(0, Golden.UNITS);
        Stream<Row> rows = sample.stream()) {
      List<String> tables = rows.map(Row::table).distinct().collect(Collectors.toList());
      assertEquals(List.of("patients", "visits"), tables);
    }
    try (Sample sample = golden(0, Golden.UNITS)) {
      assertEquals(Golden.UNITS + 259, sample.stream().count());
    }
  }

  @Test
  void anotherTypeIsRefusedByName() {
    try (Sample sample = golden(0, 97)) {
      Batch batch = sample.batches().iterator().next();
      Row row = batch.row(1);
      assertSays("patients.count holds integers", () -> batch.doubles("count"));
      assertSays("patients.id holds strings, without a dictionary", () -> batch.indices("id"));
      assertSays("patients.moment holds instants", () -> row.getDateTime("moment"));
      assertSays("patients.local holds local date-times", () -> row.getInstant("local"));
      assertSays("patients.born holds dates", () -> row.getString("born"));
      assertSays("patients has no column nope; it has id, alive, seen", () -> row.get("nope"));
      assertThrows(IndexOutOfBoundsException.class, () -> batch.row(97));
      MappingException none = assertThrows(MappingException.class, () -> row.getBoolean("alive"));
      assertEquals("patients.alive: a cell is null: ask isNull first", none.getMessage());
      MappingException large = assertThrows(MappingException.class, () -> batch.row(2).getInt("count"));
      assertEquals("patients.count: a cell does not fit an int", large.getMessage());
    }
  }

  private static void assertSays(String text, Executable call) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.startsWith(text), message);
  }

  @Test
  void aSampleIsReadOnce() {
    try (Sample sample = golden(0, 10)) {
      Iterator<Batch> batches = sample.batches().iterator();
      assertEquals("patients", batches.next().table());
      assertEquals("visits", sample.batches().iterator().next().table());
      assertFalse(sample.iterator().hasNext());
      assertThrows(NoSuchElementException.class, batches::next);
      // A second loop would find nothing, and look well.
      assertThrows(IllegalStateException.class, sample::iterator);
      assertThrows(IllegalStateException.class, () -> sample.batches().iterator());
      StringBuilder csv = new StringBuilder();
      assertThrows(IllegalStateException.class, () -> sample.writeCsv(table -> csv));
      assertEquals("", csv.toString());
    }
  }
}
