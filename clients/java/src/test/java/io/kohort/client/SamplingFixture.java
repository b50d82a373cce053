// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.fake.FakeSampling;
import io.kohort.fake.FakeServer;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;

/** A server that plays samples, and a client of it that hardly waits between tries; both anew for each test. */
abstract class SamplingFixture {
  static final Retry QUICK = Retry.DEFAULT.withBackoff(Duration.ofMillis(1), 1, Duration.ofMillis(1), 0);

  final FakeSampling sampling = new FakeSampling();
  final FakeServer server = FakeServer.start(sampling);
  final KohortClient client = KohortClient.builder(server.target()).retry(QUICK).build();

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }
}
