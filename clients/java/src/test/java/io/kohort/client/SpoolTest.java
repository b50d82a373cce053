// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class SpoolTest {
  private static final byte[] ROW = "Jane Doe, 1950-02-28, I10\n".getBytes(StandardCharsets.UTF_8);

  @Test
  void fewBytesStayInMemory() throws Exception {
    try (Spool spool = new Spool(1000)) {
      spool.out().write(ROW);
      assertArrayEquals(ROW, spool.in().readAllBytes());
      assertArrayEquals(ROW, spool.in().readAllBytes());
      assertNull(spool.file());
    }
  }

  @Test
  void manyBytesAreReadAgainAndAgain() throws Exception {
    try (Spool spool = new Spool(1000)) {
      for (int i = 0; i < 100_000; i++) {
        spool.out().write(ROW);
        spool.out().writeInt(i);
      }
      for (int time = 0; time < 2; time++) {
        var in = spool.in();
        for (int i = 0; i < 100_000; i++) {
          assertArrayEquals(ROW, in.readNBytes(ROW.length));
          assertEquals(i, in.readInt());
        }
        assertEquals(-1, in.read());
      }
    }
  }

  @Test
  void theFileHoldsNothingReadable() throws Exception {
    try (Spool spool = new Spool(1000)) {
      for (int i = 0; i < 10_000; i++) {
        spool.out().write(ROW);
      }
      spool.in().close();
      ByteBuffer raw = ByteBuffer.allocate(10_000 * ROW.length);
      while (spool.file().read(raw, raw.position()) > 0) {
        continue;
      }
      assertEquals(0, raw.remaining());
      assertFalse(new String(raw.array(), StandardCharsets.ISO_8859_1).contains("Jane"));
    }
  }
}
