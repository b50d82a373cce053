// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kohort.fake.FakeModels;
import io.kohort.fake.FakeServer;
import io.kohort.v1.Model;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ConnectTest {
  private static final Retry TWICE =
      Retry.DEFAULT.withAttempts(2).withBackoff(Duration.ofMillis(1), 1, Duration.ofMillis(1), 0);

  private static RpcException fails(KohortClientBuilder builder) {
    try (KohortClient client = builder.retry(TWICE).build()) {
      return assertThrows(UnavailableException.class, () -> client.model("models/1"));
    }
  }

  private static int freePort() throws Exception {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    }
  }

  @Test
  void nothingListens() throws Exception {
    try (Socket taken = new Socket()) {
      taken.bind(new InetSocketAddress(0)); // and nobody else can listen there
      String target = "localhost:" + taken.getLocalPort();
      RpcException error = fails(KohortClient.builder(target));
      assertEquals("Connection refused", error.message());
      assertEquals("Nothing listens on " + target + ": is the server running, and is this its port?", error.hint());
      assertTrue(!error.requestId().isEmpty());
    }
  }

  @Test
  void nobodyAnswers() throws Exception {
    try (ServerSocket silent = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      Timeouts short1 = Timeouts.DEFAULT.withConnect(Duration.ofMillis(200));
      String target = "127.0.0.1:" + silent.getLocalPort();
      RpcException error = fails(KohortClient.builder(target).timeouts(short1));
      assertEquals("no connection within 0.2 s", error.message());
      try (KohortClient client =
          KohortClient.builder(target).timeouts(Timeouts.DEFAULT.withCall(Duration.ofMillis(200))).build()) {
        RpcException late = assertThrows(DeadlineExceededException.class, () -> client.model("models/1"));
        assertTrue(late.hint().contains("timeout"), late.hint());
      }
    }
  }

  @Test
  void somethingElseListens() throws Exception {
    try (ServerSocket web = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      Thread serving =
          new Thread(
              () -> {
                while (!web.isClosed()) {
                  try (var socket = web.accept()) {
                    socket.getOutputStream().write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes());
                    socket.getInputStream().read();
                  } catch (java.io.IOException closed) {
                    continue;
                  }
                }
              });
      serving.setDaemon(true);
      serving.start();
      String target = "127.0.0.1:" + web.getLocalPort();
      RpcException error = fails(KohortClient.builder(target));
      assertTrue(error.hint().contains("no gRPC port"), error.getMessage());
    }
  }

  @Test
  void theServerSpeaksPlaintext() {
    try (FakeServer server = FakeServer.start(new FakeModels())) {
      RpcException error = fails(KohortClient.builder(server.target()).tls(Tls.system()));
      assertEquals("not an SSL/TLS record", error.message());
      assertTrue(error.hint().contains("speaks plaintext and this client TLS"), error.getMessage());
    }
  }

  @Test
  void aServerThatComesLateIsFound() throws Exception {
    int port = freePort();
    Retry patient =
        Retry.DEFAULT.withAttempts(100).withBackoff(Duration.ofMillis(50), 1, Duration.ofMillis(50), 0);
    try (KohortClient client = KohortClient.builder("localhost:" + port).retry(patient).build()) {
      KohortClient hasty = client.withTimeouts(Timeouts.DEFAULT.withCall(Duration.ofMillis(500)));
      // Unavailable, unless its time is over within a try.
      assertThrows(RpcException.class, () -> hasty.model("models/1"));
      CompletableFuture<Object> asking = CompletableFuture.supplyAsync(() -> client.model("models/1"));
      try (FakeServer server = FakeServer.onPort(port, new FakeModels())) {
        assertEquals("models/1", ((Model) asking.join()).getName());
        assertEquals(1, server.calls("GetModel").size());
      }
    }
  }

  @Test
  void aServerThatIsBackIsFoundByTheNextCall() throws Exception {
    int port = freePort();
    try (KohortClient client = KohortClient.builder("localhost:" + port).retry(Retry.NEVER).build()) {
      assertThrows(UnavailableException.class, () -> client.model("models/1"));
      try (FakeServer server = FakeServer.onPort(port, new FakeModels())) {
        assertEquals("models/1", client.model("models/1").getName());
        assertEquals(1, server.calls("GetModel").size());
      }
      assertThrows(UnavailableException.class, () -> client.model("models/1"));
      try (FakeServer server = FakeServer.onPort(port, new FakeModels())) {
        assertEquals("models/1", client.model("models/1").getName());
        assertEquals(1, server.calls("GetModel").size());
      }
    }
  }
}
