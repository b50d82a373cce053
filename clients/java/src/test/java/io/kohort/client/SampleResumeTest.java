// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.kohort.fake.CuttingProxy;
import io.kohort.fake.Errors;
import io.kohort.fake.FakeSampling;
import io.kohort.fake.FakeServer;
import io.kohort.fake.Golden;
import io.kohort.fake.GoldenStream;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntUnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class SampleResumeTest extends SamplingFixture {
  private String whole;

  @BeforeEach
  void readWhole() {
    try (Sample sample = call(client).open()) {
      whole = text(sample);
    }
  }

  private static SampleCall call(KohortClient client) {
    return client.sample("models/golden").units(Golden.UNITS).seed(7);
  }

  /** All rows of both tables, and that they are whole units in order. */
  private static String text(Sample sample) {
    Map<String, StringBuilder> tables = Map.of("patients", new StringBuilder(), "visits", new StringBuilder());
    sample.writeCsv(tables::get);
    return tables.get("patients").toString() + tables.get("visits");
  }

  @Test
  void aCutAfterAnyMessageIsMended() {
    int messages = GoldenStream.of(SampleRequest.newBuilder().setUnitCount(Golden.UNITS).build()).size();
    for (int after = 0; after < messages; after++) {
      int first = sampling.requests().size() + 1;
      int cut = after;
      sampling.answer(
          (request, number) -> {
            List<SampleResponse> all = GoldenStream.of(request);
            return number == first ? FakeSampling.cut(all, cut, FakeServer.unavailable()) : all.iterator();
          });
      try (Sample sample = call(client).open()) {
        assertEquals(whole, text(sample), "cut after message " + after);
        // Before the trailer nothing is missing any more.
        assertEquals(after == messages - 1 ? 1 : 2, sample.streams());
        assertEquals(after != messages - 1, sample.trailer().isPresent());
      }
    }
  }

  @Test
  void manyCutsAreMendedAndAskForTheRest() {
    // Two batches each: one group of both tables.
    sampling.answer(
        (request, number) ->
            FakeSampling.cut(GoldenStream.of(request), batches(request, 2), FakeServer.unavailable()));
    SampleCall asked = client.sample("models/golden").units(Golden.UNITS).where("ward", "Ward A").temperature(2);
    try (Sample sample = asked.open()) {
      text(sample);
      assertEquals(3, sample.streams());
    }
    List<SampleRequest> requests = sampling.requests().subList(1, 4);
    assertFalse(requests.get(0).hasSeed());
    for (int i = 1; i < requests.size(); i++) {
      SampleRequest expected =
          requests.get(0).toBuilder()
              .setStartUnit(97 * i)
              .setUnitCount(Golden.UNITS - 97 * i)
              .setSeed(4242)
              .setRuntimeFingerprint("golden/1")
              .build();
      assertEquals(expected, requests.get(i));
    }
    assertEquals(
        1, server.calls("Sample").stream().skip(1).map(call -> call.header("x-request-id")).distinct().count());
  }

  /** Messages before batch {@code count} + 1, or all but the trailer. */
  private static int batches(SampleRequest request, int count) {
    int messages = 0;
    for (SampleResponse message : GoldenStream.of(request)) {
      if (message.hasTrailer() || message.hasBatch() && count-- == 0) {
        return messages;
      }
      messages++;
    }
    return messages;
  }

  @Test
  void anAugmentationFactorIsResumedByItsUnits() {
    sampling.answer(
        (request, number) -> {
          SampleRequest counted =
              request.hasAugmentationFactor() ? request.toBuilder().setUnitCount(Golden.UNITS).build() : request;
          List<SampleResponse> all = GoldenStream.of(counted);
          return number == 2
              ? FakeSampling.cut(all, batches(counted, 3), FakeServer.unavailable())
              : all.iterator();
        });
    try (Sample sample = client.sample("models/golden").augmentationFactor(2.5).seed(7).open()) {
      assertEquals(Golden.UNITS, sample.header().getUnitCount());
      assertEquals(whole, text(sample));
    }
    SampleRequest rest = sampling.requests().get(2);
    assertFalse(rest.hasAugmentationFactor());
    assertEquals(Golden.UNITS - 97, rest.getUnitCount());
  }

  @Test
  void randomCutsOfTheConnectionAreMended() {
    Random random = new Random(5);
    // Growing: each stream begins with some 20 kB of dictionaries, before which no cut brings progress.
    IntUnaryOperator limits = n -> n > 40 ? Integer.MAX_VALUE : random.nextInt(12_000 * n);
    try (CuttingProxy proxy = CuttingProxy.start(server.port(), limits);
        KohortClient cut = KohortClient.builder(proxy.address()).retry(QUICK).build()) {
      for (int i = 0; i < 10; i++) {
        try (Sample sample = call(cut).open()) {
          assertEquals(whole, text(sample));
        }
      }
      assertTrue(proxy.connections() > 5, "cuts: " + proxy.connections());
    }
  }

  @Test
  void anotherErrorIsFinalAndTheRowsBeforeItAreGood() {
    ErrorInfo info =
        ErrorInfo.newBuilder()
            .setDomain("kohort")
            .setReason("CONDITION_UNSATISFIED")
            .putMetadata("units_reached", "97")
            .build();
    sampling.answer(
        (request, number) ->
            FakeSampling.cut(
                GoldenStream.of(request),
                batches(request, 2),
                Errors.with(Status.Code.FAILED_PRECONDITION, "no unit met the conditions", info)));
    try (Sample sample = call(client).open()) {
      List<Batch> good = new ArrayList<>();
      ConditionUnsatisfiedException error =
          assertThrows(ConditionUnsatisfiedException.class, () -> sample.batches().forEach(good::add));
      assertEquals(97, error.unitsReached());
      assertEquals(2, good.size());
      assertEquals(error, assertThrows(ConditionUnsatisfiedException.class, () -> sample.iterator().hasNext()));
    }
  }

  @Test
  void aRefusalComesFromOpen() {
    server.refuse("Sample", Errors.of(Status.Code.NOT_FOUND, "MODEL_NOT_FOUND", "there is no such model"));
    NotFoundException error = assertThrows(NotFoundException.class, () -> call(client).open());
    assertEquals("MODEL_NOT_FOUND: there is no such model", error.getMessage());
    assertFalse(error.requestId().isEmpty());
  }

  @Test
  void aServerThatStaysAwayIsGivenUp() {
    sampling.answer((request, number) -> FakeSampling.cut(List.of(), 0, FakeServer.unavailable()));
    assertThrows(UnavailableException.class, () -> call(client).open());
    assertEquals(1 + Retry.DEFAULT.attempts(), sampling.requests().size());
  }
}
