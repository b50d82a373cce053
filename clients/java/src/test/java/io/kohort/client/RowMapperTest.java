// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kohort.fake.FakeSampling;
import io.kohort.fake.FakeServer;
import io.kohort.fake.GoldenStream;
import io.kohort.v1.SampleRequest;
import java.io.IOException;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Rows as records and other classes. */
class RowMapperTest {
  private static Batch patients;
  private static Batch visits;

  @BeforeAll
  static void read() {
    SampleState state = new SampleState(SampleRequest.newBuilder().setUnitCount(97).build());
    GoldenStream.of(state.request()).forEach(state::receive);
    patients = state.poll();
    visits = state.poll();
  }

  private record Typed(
      String id,
      Boolean alive,
      boolean seen,
      Long count,
      @Column("count") BigDecimal exact,
      Double ratio,
      BigDecimal dose,
      @Column("dose") Double doseAsDouble,
      @Column("dose") Float doseAsFloat,
      LocalDate born,
      LocalDateTime local,
      Instant moment,
      @Column("moment") OffsetDateTime offset,
      @Column("moment") ZonedDateTime zoned,
      Duration stay,
      String ward,
      Object never,
      List<String> drugs,
      @Column("drugs") String[] array) {}

  @Test
  void aRecordOfEveryKind() {
    List<Typed> rows = patients.as(Typed.class);
    assertEquals(97, rows.size());
    Typed first = rows.get(0);
    assertEquals("syn-000000", first.id);
    assertEquals(true, first.alive);
    assertTrue(first.seen);
    assertEquals(0L, first.count);
    assertEquals(BigDecimal.ZERO, first.exact);
    assertTrue(first.ratio.isNaN());
    assertEquals(new BigDecimal("0.00"), first.dose);
    assertEquals(LocalDate.EPOCH, first.born);
    assertNull(first.moment);
    assertNull(first.zoned);
    assertEquals(Duration.ZERO, first.stay);
    assertEquals("", first.ward);
    assertNull(first.never);
    Typed fourth = rows.get(3);
    assertEquals(-2.5, fourth.doseAsDouble);
    assertEquals(-2.5f, fourth.doseAsFloat);
    assertEquals(LocalDateTime.of(9999, 12, 31, 23, 59, 59, 999_999_000), fourth.local);
    assertEquals(Instant.parse("2262-04-12T00:00:00Z"), fourth.moment);
    assertEquals(fourth.moment.atOffset(ZoneOffset.UTC), fourth.offset);
    assertEquals(fourth.moment.atZone(ZoneId.of("Europe/Zurich")), fourth.zoned);
    assertEquals(List.of("δ", "", "naïve", "δ"), fourth.drugs);
    assertArrayEquals(new String[] {"δ", "", "naïve", "δ"}, fourth.array);
    assertNull(rows.get(1).drugs);
    assertNull(rows.get(5).exact);
  }

  enum Code {
    C0000,
    C0001,
    C0999
  }

  private record Visit(Code code, Object at) {}

  @Test
  void enumsByName() {
    List<Visit> rows = visits.as(Visit.class);
    assertNull(rows.get(0).code);
    assertSame(Code.C0000, rows.get(1).code);
    assertSame(Code.C0999, rows.get(3).code);
    assertEquals(LocalDateTime.of(1, 1, 1, 0, 0), rows.get(0).at);
  }

  private enum OtherCode {
    C0000
  }

  private record OtherVisit(OtherCode code) {}

  static class Base {
    protected String id;
    private static int notACell;
    private transient int neither;
    private final int nor = 3;
  }

  /** Fields, a setter with a name of its own, and one that stands for a field. */
  static class Patient extends Base {
    boolean seen;
    private String place;
    private BigDecimal amount;

    @Column("ward")
    public void setPlace(String place) {
      this.place = place + "!";
    }

    public Patient setDose(BigDecimal dose) {
      amount = dose;
      return this;
    }
  }

  /** As {@code Patient} without its field {@code amount}, for which there is no column. */
  static class Bean {
    @Column("id")
    private String name;
    private transient BigDecimal amount;

    Bean() {}

    public void setDose(BigDecimal dose) {
      amount = dose;
    }

    public void setName(String name) {
      this.name = "bean " + name;
    }

    public void set(String nothing) {
      throw new AssertionError();
    }

    static void setId(String nothing) {
      throw new AssertionError();
    }
  }

  @Test
  void settersAndFields() {
    Bean bean = patients.as(Bean.class).get(3);
    assertEquals("bean syn-000003", bean.name);
    assertEquals(new BigDecimal("-2.50"), bean.amount);
    assertSays(Patient.class, "Patient.amount: patients has no column amount; @Column names another");
  }

  static final class Made {
    final String text;

    Made(@Column("id") String key, @Column("count") Long number) {
      text = key + number;
    }

    Made() {
      throw new AssertionError("the other constructor names columns");
    }
  }

  static final class Unnamed {
    Unnamed(String id) {
      throw new AssertionError(id);
    }
  }

  static final class Refusing {
    Refusing(@Column("id") String id) throws IOException {
      if (id.endsWith("1")) {
        throw new IOException("secret " + id);
      }
      throw new IllegalArgumentException("its own");
    }
  }

  @Test
  void constructors() {
    assertEquals("syn-0000029223372036854775807", patients.as(Made.class).get(2).text);
    assertSays(
        Unnamed.class,
        "Unnamed: name the columns of its constructor's parameters by @Column, or compile it with -parameters");
    assertThrows(IllegalArgumentException.class, () -> patients.row(0).as(Refusing.class));
    MappingException checked = assertThrows(MappingException.class, () -> patients.row(1).as(Refusing.class));
    assertEquals("Refusing cannot be made: java.io.IOException", checked.getMessage());
  }

  private record Null(int count) {}

  private record Small(@Column("count") Integer number) {}

  private record Byte1(@Column("count") Byte number) {}

  private record Wrong(LocalDate ward) {}

  private record Local(LocalDateTime moment) {}

  private record Strings(List<Integer> drugs) {}

  private record Chars(char ward) {}

  private record Missing(String id, long nope) {}

  @Test
  void whatDoesNotFitIsNamed() {
    assertSays(Null.class, 2, "Null.count: a cell of column count does not fit; use long");
    assertSays(Null.class, 5, "Null.count: a cell of column count is null, which int cannot hold; use Integer");
    assertSays(Small.class, 3, "Small.number: a cell of column count does not fit; use long");
    assertEquals((byte) -1, patients.row(1).as(Byte1.class).number);
    assertSays(Byte1.class, 4, "Byte1.number: a cell of column count does not fit; use long");
    assertSays(Wrong.class, "Wrong.ward: column ward holds strings, which do not become java.time.LocalDate");
    assertSays(
        Local.class,
        "Local.moment: column moment holds instants, which do not become java.time.LocalDateTime");
    assertSays(
        Strings.class,
        "Strings.drugs: column drugs holds lists of strings, which do not become java.util.List<java.lang.Integer>");
    assertSays(Chars.class, "Chars.ward: column ward holds strings, which do not become char");
    assertSays(Missing.class, "Missing.nope: patients has no column nope; @Column names another");
    MappingException other = assertThrows(MappingException.class, () -> visits.as(OtherVisit.class));
    assertEquals("code", other.column());
    assertEquals("OtherVisit.code: a cell of column code is no constant of OtherCode", other.getMessage());
    for (Class<?> none : List.of(List.class, int.class, Code.class, Inner.class, Number.class, String.class)) {
      assertSays(none, none.getSimpleName() + ": rows become your records or (static) classes");
    }
    assertSays(Empty.class, "Empty: takes no column");
    assertSays(String[].class, "String[]: rows become your records or (static) classes");
  }

  class Inner {}

  private static final class Empty {}

  private static void assertSays(Class<?> type, String text) {
    assertSays(type, 0, text);
  }

  private static void assertSays(Class<?> type, int row, String text) {
    assertEquals(text, assertThrows(MappingException.class, () -> patients.row(row).as(type)).getMessage());
  }

  private record Key(String id) {}

  @Test
  void aSampleOfSeveralTablesIsReadByBatches() {
    try (FakeServer server = FakeServer.start(new FakeSampling());
        KohortClient client = KohortClient.connect(server.target());
        Sample sample = client.sample("models/golden").units(1).open()) {
      IllegalStateException error = assertThrows(IllegalStateException.class, () -> sample.as(Key.class));
      assertEquals("the model has several tables (patients, visits): read its batches", error.getMessage());
      assertEquals(List.of(new Key("syn-000000")), sample.batches().iterator().next().as(Key.class));
    }
  }
}
