// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.kohort.fake.Broken;
import io.kohort.fake.FakeSampling;
import io.kohort.fake.FakeServer;
import io.kohort.fake.Golden;
import io.kohort.fake.GoldenStream;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.TableSchema;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class SampleIntegrityTest extends SamplingFixture {
  static Set<String> ways() {
    return Broken.WAYS.keySet();
  }

  @ParameterizedTest
  @MethodSource("ways")
  void aBrokenStreamIsRefused(String how) {
    sampling.answer((request, number) -> Broken.stream(GoldenStream.of(request), how).iterator());
    IntegrityException error = assertThrows(IntegrityException.class, this::read);
    assertTrue(error.getMessage().contains(Broken.WAYS.get(how)), error.getMessage());
    assertEquals(1, sampling.requests().size(), "what is wrong is not asked for again");
  }

  private void read() {
    try (Sample sample = client.sample("models/golden").units(Golden.UNITS).seed(1).open()) {
      sample.batches().forEach(batch -> {});
    }
  }

  @Test
  void whatIsWrongIsNoEndForWhoeverAsksAgain() {
    sampling.answer((request, number) -> Broken.stream(GoldenStream.of(request), "trailer-digest").iterator());
    try (Sample sample = client.sample("models/golden").units(Golden.UNITS).seed(1).open()) {
      assertThrows(IntegrityException.class, () -> sample.batches().forEach(batch -> {}));
      assertThrows(IntegrityException.class, () -> sample.iterator().hasNext());
    }
  }

  @Test
  void rowsWithoutColumnsAreNone() {
    Layout hollow = new Layout(TableSchema.newBuilder().setName("t").build());
    RecordBatch billions = RecordBatch.newBuilder().setTable("t").setRowCount(Integer.MAX_VALUE).build();
    assertThrows(IntegrityException.class, () -> Decoder.decode(billions, hollow, new Dictionaries()));
  }

  @Test
  void aResumedStreamMustBeTheSame() {
    List<Consumer<SampleHeader.Builder>> changes =
        List.of(
            header -> header.setContentDigest(ByteString.copyFromUtf8("another")),
            header -> header.setSeed(2),
            header -> header.setRuntimeFingerprint("golden/2"));
    for (Consumer<SampleHeader.Builder> change : changes) {
      assertSays("the resumed sample stems from another model, seed or runtime", change);
    }
    assertSays("other units than were asked for", header -> header.setStartUnit(3));
  }

  private void assertSays(String text, Consumer<SampleHeader.Builder> change) {
    int before = sampling.requests().size();
    sampling.answer(
        (request, number) -> {
          List<SampleResponse> messages = new ArrayList<>(GoldenStream.of(request));
          if (number == before + 1) {
            return FakeSampling.cut(messages, messages.size() - 2, FakeServer.unavailable());
          }
          SampleResponse.Builder first = messages.get(0).toBuilder();
          change.accept(first.getHeaderBuilder());
          messages.set(0, first.build());
          return messages.iterator();
        });
    IntegrityException error = assertThrows(IntegrityException.class, this::read);
    assertTrue(error.getMessage().contains(text), error.getMessage());
    assertEquals(before + 2, sampling.requests().size());
  }
}
