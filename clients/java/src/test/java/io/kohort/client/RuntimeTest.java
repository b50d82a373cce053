// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Message;
import io.kohort.v1.Column;
import org.junit.jupiter.api.Test;

/** What the other tests run on: the profile protobuf4 must not quietly test protobuf 3 again. */
class RuntimeTest {
  @Test
  void protobufIsTheOneThatTheBuildNames() {
    String wanted = System.getProperty("kohort.protobuf");
    String jar = Message.class.getProtectionDomain().getCodeSource().getLocation().getPath();
    assertTrue(jar.endsWith("protobuf-java-" + wanted + ".jar"), jar);
  }

  @Test
  void aMessageTravels() throws Exception {
    Column column = Column.newBuilder().setName("größe").setScale(2).build();
    assertEquals(column, Column.parseFrom(column.toByteArray()));
  }
}
