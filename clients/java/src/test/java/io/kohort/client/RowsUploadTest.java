// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.kohort.v1.ColumnKind;
import io.kohort.v1.Dataset;
import io.kohort.v1.Handling;
import io.kohort.v1.TableSchema;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class RowsUploadTest {
  private EchoServer server;
  private KohortClient client;

  @BeforeEach
  void open() throws Exception {
    listen(0);
  }

  private void listen(int breaks) throws Exception {
    close();
    server = new EchoServer(breaks);
    client = KohortClient.builder(server.address()).build();
  }

  @AfterEach
  void close() {
    if (client != null) {
      client.close();
      server.close();
    }
  }

  enum Sex {
    F,
    M
  }

  record Patient(
      UUID id,
      @Column("Größe") Double height,
      int age,
      Sex sex,
      BigDecimal weight,
      Boolean smoker,
      LocalDate born,
      LocalDateTime admitted,
      Instant seen,
      OffsetDateTime sent,
      Duration stay,
      List<String> codes,
      BigInteger number) {}

  private static Patient patient(int i) {
    return new Patient(
        new UUID(0, i),
        i == 1 ? Double.NaN : 1.5 + i,
        40 + i,
        Sex.values()[i % 2],
        new BigDecimal("70.5").multiply(new BigDecimal(i == 2 ? "1.25" : "1")),
        i == 0 ? null : i % 2 == 0,
        LocalDate.of(2795, 2, 28),
        LocalDateTime.of(1969, 12, 31, 23, 59, 59, 1_999),
        Instant.parse("2262-04-12T00:00:00Z"),
        OffsetDateTime.parse("2020-01-01T01:00:00+01:00"),
        Duration.ofSeconds(-1, 500),
        i == 1 ? null : i == 2 ? List.of() : List.of("I10", "日本語", "I10"),
        BigInteger.valueOf(Long.MIN_VALUE));
  }

  @Test
  void everyTypeOfARecordArrivesAsItIs() {
    List<Patient> patients = List.of(patient(0), patient(1), patient(2));
    Dataset dataset =
        client.uploadRows("patients", patients).columns(Patient.class).subjectKey("id").displayName("three").send();
    assertEquals(3, dataset.getRowCountsOrThrow("patients"));
    assertEquals("id", server.headers.get(0).getSchema().getTables(0).getSubjectKey());
    assertEquals(Arrays.asList(1.5, null, 3.5), server.cells("Größe"));
    assertEquals(List.of(40L, 41L, 42L), server.cells("age"));
    assertEquals(List.of("F", "M", "F"), server.cells("sex"));
    assertEquals("[70.500, 70.500, 88.125]", server.cells("weight").toString());
    assertEquals(Arrays.asList(null, false, true), server.cells("smoker"));
    assertEquals(LocalDate.of(2795, 2, 28), server.cells("born").get(0));
    assertEquals(LocalDateTime.parse("1969-12-31T23:59:59.000001"), server.cells("admitted").get(1));
    assertEquals(Instant.parse("2262-04-12T00:00:00Z"), server.cells("seen").get(2));
    assertEquals(Instant.parse("2020-01-01T00:00:00Z"), server.cells("sent").get(0));
    assertEquals(Duration.ofSeconds(-1), server.cells("stay").get(0));
    assertEquals(Arrays.asList(List.of("I10", "日本語", "I10"), null, List.of()), server.cells("codes"));
    assertEquals(Long.MIN_VALUE, server.cells("number").get(0));
    assertTrue(server.column("smoker").getNullable());
    assertFalse(server.column("age").getNullable());
    assertEquals(ColumnKind.COLUMN_KIND_DATE, server.column("born").getKind());
    assertEquals("UTC", server.column("sent").getTimeZone());
  }

  @Test
  void whatIsDeclaredStandsBesideWhatTheCellsAre() {
    io.kohort.v1.Column declared =
        io.kohort.v1.Column.newBuilder()
            .setName("code")
            .setKind(ColumnKind.COLUMN_KIND_CODE)
            .setVocabulary("ICD-10-CM")
            .setHandling(Handling.HANDLING_MODEL)
            .setScale(3)
            .build();
    TableSchema table = TableSchema.newBuilder().setName("?").addColumns(declared).addPrimaryKey("code").build();
    client.uploadRows("t", List.of("I10", "")).text("code", row -> row).schema(table).send();
    assertEquals("ICD-10-CM", server.column("code").getVocabulary());
    assertEquals(0, server.column("code").getScale());
    assertEquals(List.of("code"), server.headers.get(0).getSchema().getTables(0).getPrimaryKeyList());
    assertEquals(List.of("I10", ""), server.cells("code"));
  }

  @Test
  void severalTablesMakeOneDataset() {
    RowsUpload<Integer> visits = client.uploadRows("visits", List.of(1, 1, 2)).text("patient", i -> "p" + i);
    Dataset dataset =
        client.uploadRows("patients", List.of(1, 2)).text("id", i -> "p" + i).and(visits).send();
    assertEquals(Map.of("patients", 2L, "visits", 3L), dataset.getRowCountsMap());
    assertEquals(List.of("p1", "p1", "p2"), server.cells("visits", "patient"));
    assertEquals(List.of("p1", "p2"), server.cells("patients", "id"));
    assertThrows(IllegalStateException.class, visits::send);
  }

  @Test
  void manyRowsAreCutIntoMessagesOfTheRightSize() {
    int rows = 300_000;
    Iterator<Integer> numbers = IntStream.range(0, rows).iterator();
    client
        .uploadRows("t", numbers)
        .integer("n", i -> i)
        .text("few", i -> i % 7 == 0 ? null : "category " + i % 100)
        .text("many", i -> "the text number " + i) // too many for a dictionary
        .bool("even", i -> i % 2 == 0)
        .send();
    assertTrue(server.largest < 1 << 20, "largest message " + server.largest);
    assertTrue(server.batchRows.size() > 5 && server.batchRows.get(0) > 5000, server.batchRows.toString());
    assertEquals(rows, server.cells("n").size());
    assertEquals(0L, server.cells("n").get(0));
    assertEquals(rows - 1L, server.cells("n").get(rows - 1));
    assertEquals(null, server.cells("few").get(7 * 1000));
    assertEquals("category 99", server.cells("few").get(99));
    assertEquals("the text number 0", server.cells("many").get(0));
    assertEquals("the text number 299999", server.cells("many").get(rows - 1));
  }

  @Test
  void longTextsStayBelowTheLimitOfAMessage() {
    String text = "é".repeat(300_000);
    client.uploadRows("t", List.of(0, 1, 2, 3)).text("note", i -> i + text).send();
    assertTrue(server.largest < 3_500_000, "largest message " + server.largest);
    assertEquals("3" + text, server.cells("note").get(3));
    client.uploadRows("t", List.of(0, 1, 2)).text("note", i -> i + "x".repeat(1_000_000)).send();
    assertTrue(server.largest < 3_500_000, "largest message " + server.largest);
    String endless = "x".repeat(1_100_000);
    refused("LIMIT_EXCEEDED", "t.note", client.uploadRows("t", List.of(0)).text("note", i -> endless));
    RowsUpload<Integer> wide = client.uploadRows("t", Stream.iterate(0, i -> i + 1).limit(10).iterator());
    for (int column = 0; column < 3; column++) {
      wide.text("note" + column, i -> i + "x".repeat(1_000_000)); // too many for a dictionary
    }
    refused("LIMIT_EXCEEDED", "t", wide);
  }

  @Test
  void aBrokenUploadIsRepeatedFromTheSpoolUnderOneRequestId() throws Exception {
    listen(2);
    Iterator<Integer> once = Stream.iterate(0, i -> i + 1).limit(200_000).iterator();
    client.uploadRows("t", once).integer("n", i -> i).number("x", i -> i / 3.0).send();
    assertEquals(3, server.headers.size());
    assertEquals(1, server.headers.stream().map(header -> header.getRequestId()).distinct().count());
    assertEquals(
        IntStream.range(0, 200_000).mapToObj(Long::valueOf).collect(Collectors.toList()), server.cells("n"));
  }

  @Test
  void whatCannotBeSentNamesTheColumnAndNoCell() {
    Function<Object, BigDecimal> pi = row -> new BigDecimal("3.14159265358979");
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().decimal("x", pi));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().decimal("x", 2, pi));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().decimal("x", row -> new BigDecimal("31415926535897932e9999")));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().integer("x", row -> BigInteger.TWO.pow(64)));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().integer("x", row -> new BigDecimal("18446744073709551617")));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().integer("x", row -> 3.14));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().integer("x", row -> Double.NaN));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().integer("x", row -> 1e19));
    for (String extreme : List.of("1e999999999", "1e-999999999")) {
      refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().decimal("x", 2, row -> new BigDecimal(extreme)));
    }
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().date("x", row -> LocalDate.MAX));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().dateTime("x", row -> LocalDateTime.MAX));
    refused("VALUE_OUT_OF_BOUNDS", "t.x", rows().duration("x", row -> Duration.ofDays(200_000_000)));
    refused("BAD_ENCODING", "t.x", rows().text("x", row -> "half \ud800"));
    TableSchema other = TableSchema.newBuilder().addColumns(io.kohort.v1.Column.newBuilder().setName("y")).build();
    refused("MISSING_COLUMN", "t.y", rows().text("x", row -> "").schema(other));
    refused("MISSING_COLUMN", "t.id", rows().text("x", row -> "").subjectKey("id"));
    refused("EMPTY_TABLE", "t", client.uploadRows("t", List.of()).text("x", row -> ""));
    assertThrows(InvalidRequestException.class, () -> rows().bool("x", row -> true).bool("x", row -> true));
    RowsUpload<String> gap = client.uploadRows("t", Arrays.asList("a", null)).text("x", String::trim);
    NullPointerException none = assertThrows(NullPointerException.class, gap::send);
    assertEquals("row 2 of t is null, not an object", none.getMessage());
    assertThrows(IllegalArgumentException.class, () -> rows().decimal("x", 13, pi));
    assertThrows(IllegalArgumentException.class, () -> client.uploadRows("t", List.of()).columns(Object.class));
    assertThrows(IllegalStateException.class, () -> rows().send());
    assertEquals(List.of(), server.headers);
  }

  @Test
  void whatTheSourceThrowsComesOut() {
    RowsUpload<Object> upload =
        rows().text("x", row -> {
          throw new UnsupportedOperationException("mine");
        });
    assertThrows(UnsupportedOperationException.class, upload::send);
    assertThrows(IllegalStateException.class, upload::send);
  }

  private RowsUpload<Object> rows() {
    return client.uploadRows("t", List.<Object>of("row"));
  }

  private static void refused(String reason, String field, RowsUpload<?> upload) {
    InvalidRequestException error = assertThrows(InvalidRequestException.class, upload::send);
    assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
    assertEquals(reason, error.reason());
    assertEquals(field, error.violations().get(0).field());
    assertFalse(error.getMessage().contains("3.14") || error.getMessage().contains("1415"), error.getMessage());
  }
}
