// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.kohort.v1.Condition;
import io.kohort.v1.Rebalancing;
import io.kohort.v1.SampleFormat;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.ValueRange;
import io.kohort.v1.ValueSet;
import java.math.BigDecimal;
import java.time.DayOfWeek;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class SampleCallTest extends SamplingFixture {
  private static Condition.Builder on(String column) {
    return Condition.newBuilder().setColumn(column);
  }

  @Test
  void allThatCanBeAskedForIsSent() {
    SampleCall call =
        client.sample("models/golden")
            .units(10)
            .startUnit(5)
            .seed(-1)
            .where("ward", "A")
            .where("never", null)
            .oneOf("count", 1, 2L)
            .oneOf("code", Set.of("C1"))
            .between("born", LocalDate.of(1990, 1, 1), null)
            .between("dose", null, new BigDecimal("1E+2"))
            .table("visits")
            .notNull("at")
            .rebalance("code", Map.of("C0001", 3, "C0002", 0.5))
            .temperature(0.5)
            .topP(0.9)
            .maxAttempts(7)
            .maxBatchRows(100);
    call.open().close();
    SampleRequest expected =
        SampleRequest.newBuilder()
            .setModel("models/golden")
            .setStartUnit(5)
            .setUnitCount(10)
            .setSeed(-1)
            .setFormat(SampleFormat.SAMPLE_FORMAT_COLUMNS)
            .addConditions(on("ward").setOneOf(ValueSet.newBuilder().addValues("A")))
            .addConditions(on("never").setIsNull(true))
            .addConditions(on("count").setOneOf(ValueSet.newBuilder().addValues("1").addValues("2")))
            .addConditions(on("code").setOneOf(ValueSet.newBuilder().addValues("C1")))
            .addConditions(on("born").setRange(ValueRange.newBuilder().setMinimum("1990-01-01")))
            .addConditions(on("dose").setRange(ValueRange.newBuilder().setMaximum("100")))
            .addConditions(on("at").setTable("visits").setIsNull(false))
            .setRebalancing(
                Rebalancing.newBuilder()
                    .setTable("visits")
                    .setColumn("code")
                    .putShares("C0001", 3)
                    .putShares("C0002", 0.5))
            .setTemperature(0.5)
            .setTopP(0.9)
            .setMaxAttempts(7)
            .setMaxBatchRows(100)
            .build();
    assertEquals(expected, sampling.requests().get(0));
  }

  @Test
  void valuesAreTheTextOfCells() {
    assertEquals("true", Values.text("c", true));
    assertEquals("-3", Values.text("c", (short) -3));
    assertEquals("0.1", Values.text("c", 0.1f));
    assertEquals("1.0E-7", Values.text("c", 1e-7));
    assertEquals("0.0000001", Values.text("c", new BigDecimal("1E-7")));
    assertEquals("MONDAY", Values.text("c", DayOfWeek.MONDAY));
    assertEquals("2026-01-31T08:30:00.000001", Values.text("c", LocalDateTime.of(2026, 1, 31, 8, 30, 0, 1000)));
    Instant moment = Instant.parse("2026-01-31T08:30:00Z");
    assertEquals("2026-01-31T08:30:00.000000Z", Values.text("c", moment));
    assertEquals("2026-01-31T08:30:00.000000Z", Values.text("c", moment.atZone(ZoneId.of("Asia/Tokyo"))));
    OffsetDateTime offset = OffsetDateTime.parse("2026-01-31T09:30:00+01:00");
    assertEquals("2026-01-31T08:30:00.000000Z", Values.text("c", offset));
    assertEquals("PT90.000000S", Values.text("c", Duration.ofSeconds(90)));
    assertEquals("PT-0.500000S", Values.text("c", Duration.ofMillis(-500)));
  }

  @Test
  void wrongArgumentsAreRefusedAtOnce() {
    SampleCall call = client.sample("models/golden");
    assertSays("units must be at least 1", () -> call.units(0));
    assertSays("say how many: either units or augmentationFactor", call::open);
    assertSays("startUnit and units together must be at most 2^53", call.units(1).startUnit(1L << 53)::open);
    assertSays("say how many: either units or augmentationFactor", call.augmentationFactor(2)::publisher);
    assertSays("ward: a set of values is empty", () -> call.oneOf("ward", List.of()));
    assertSays("age: a range needs a bound: see notNull", () -> call.between("age", null, null));
    assertSays("age: no cell can have this value (Object)", () -> call.where("age", new Object()));
    assertSays("age: no cell can have this value (Double)", () -> call.where("age", Double.NaN));
    assertSays("at: times are whole microseconds", () -> call.where("at", LocalDateTime.of(1, 1, 1, 1, 1, 1, 1)));
    assertEquals(0, sampling.requests().size());
  }

  private static void assertSays(String text, Executable call) {
    assertEquals(text, assertThrows(IllegalArgumentException.class, call).getMessage());
  }
}
