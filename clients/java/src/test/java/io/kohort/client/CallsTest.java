// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.ErrorInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.kohort.fake.Errors;
import io.kohort.fake.FakeDatasets;
import io.kohort.fake.FakeModels;
import io.kohort.fake.FakeServer;
import io.kohort.v1.Dataset;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadHeader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class CallsTest {
  private static final Retry QUICK =
      Retry.DEFAULT.withBackoff(Duration.ofMillis(1), 1, Duration.ofMillis(1), 0);

  private final FakeDatasets datasets = new FakeDatasets();
  private final FakeServer server = FakeServer.start(datasets, new FakeModels());
  private final KohortClient client = KohortClient.builder(server.target()).retry(QUICK).build();

  @AfterEach
  void close() {
    client.close();
    server.close();
  }

  @Test
  void aCallCarriesWhatWasAsked() {
    AtomicInteger tokens = new AtomicInteger();
    KohortClientBuilder builder =
        KohortClient.builder(server.target())
            .retry(QUICK)
            .token(() -> "t" + tokens.incrementAndGet())
            .metadata("x-ward", "7b");
    server.refuse("GetModel", FakeServer.unavailable());
    try (KohortClient asking = builder.build()) {
      asking.model("models/1");
      asking.model("models/1");
    }
    List<FakeServer.Call> calls = server.calls("GetModel");
    List<String> sent = calls.stream().map(c -> c.header("authorization")).collect(Collectors.toList());
    assertEquals(List.of("Bearer t1", "Bearer t2", "Bearer t3"), sent);
    assertTrue(calls.get(0).header("user-agent").startsWith("kohort-java/0.1.0"));
    assertEquals("7b", calls.get(0).header("x-ward"));
    UUID.fromString(calls.get(0).header("x-request-id"));
    assertEquals(calls.get(0).header("x-request-id"), calls.get(1).header("x-request-id"));
    assertFalse(calls.get(1).header("x-request-id").equals(calls.get(2).header("x-request-id")));
  }

  @Test
  void anErrorTellsAllThatTheServerDid() {
    ErrorInfo info =
        ErrorInfo.newBuilder()
            .setDomain("kohort")
            .setReason("INVALID_PARAMETER")
            .putMetadata("request_id", "seen")
            .putMetadata("limit", "3")
            .build();
    server.refuse(
        "GetModel",
        Errors.with(
            Status.Code.INVALID_ARGUMENT,
            "a parameter is out of range",
            info,
            Errors.violation("parameters.epochs", "must be positive"),
            Errors.retryAfter(1500)));
    RpcException error = assertThrows(InvalidRequestException.class, () -> client.model("models/1"));
    assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
    assertEquals("INVALID_PARAMETER", error.reason());
    assertEquals("a parameter is out of range", error.message());
    assertEquals("parameters.epochs: must be positive", error.violations().get(0).toString());
    assertEquals(Duration.ofMillis(1500), error.retryAfter().orElseThrow());
    assertEquals("seen", error.requestId());
    assertEquals("3", error.metadata().get("limit"));
    assertEquals("", error.hint());
    assertEquals(
        "INVALID_PARAMETER: a parameter is out of range\n  parameters.epochs: must be positive",
        error.getMessage());
    assertInstanceOf(StatusRuntimeException.class, error.getCause());
  }

  @Test
  void reasonsWithAnExceptionOfTheirOwn() {
    ErrorInfo info =
        ErrorInfo.newBuilder().setDomain("kohort").setReason("MODEL_LOCKED").putMetadata("rules", "a,b").build();
    server.refuse("GetModel", Errors.with(Status.Code.FAILED_PRECONDITION, "no", info));
    ModelLockedException locked = assertThrows(ModelLockedException.class, () -> client.model("models/1"));
    assertEquals(List.of("a", "b"), locked.rules());
    server.refuse("GetModel", Errors.of(Status.Code.ABORTED, "ETAG_MISMATCH", "no"));
    assertThrows(ConflictException.class, () -> client.model("models/1"));
    assertEquals(
        "MODEL_NOT_FOUND", assertThrows(NotFoundException.class, () -> client.model("models/2")).reason());
  }

  @Test
  void theRequestIdIsThatOfTheTrailersOrOnesOwn() {
    Metadata trailers = new Metadata();
    trailers.put(Connection.key("x-request-id"), "theirs");
    server.refuse("GetModel", Status.INTERNAL.withDescription("oops").asRuntimeException(trailers));
    RpcException error = assertThrows(ServerErrorException.class, () -> client.model("models/1"));
    assertEquals("theirs", error.requestId());
    assertEquals("INTERNAL: oops", error.getMessage());
    server.refuse("GetModel", Status.INTERNAL.asRuntimeException());
    error = assertThrows(ServerErrorException.class, () -> client.model("models/1"));
    assertEquals(server.calls("GetModel").get(1).header("x-request-id"), error.requestId());
  }

  @Test
  void fullQueuesAreWaitedForOnlyWhereTheServerSaysHowLong() {
    server.refuse("GetModel", Errors.of(Status.Code.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", "later", Errors.retryAfter(2)));
    assertEquals("models/1", client.model("models/1").getName());
    server.refuse("GetModel", Errors.of(Status.Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", "never"));
    assertThrows(OverloadedException.class, () -> client.model("models/1"));
    assertEquals(3, server.calls("GetModel").size());
  }

  @Test
  void triesEnd() {
    for (int i = 0; i < 5; i++) {
      server.refuse("GetModel", FakeServer.unavailable());
    }
    RpcException error = assertThrows(UnavailableException.class, () -> client.model("models/1"));
    assertEquals(5, server.calls("GetModel").size());
    assertEquals("gone for now", error.message());
    assertTrue(error.hint().contains("could not be reached"), error.hint());
  }

  @Test
  void unknownCallsAreHintedAt() {
    RpcException error = assertThrows(UnimplementedException.class, client::capabilities);
    assertTrue(error.hint().contains("does not know this call"), error.hint());
  }

  @Test
  void oneDeadlineCoversAllTries() {
    server.refuse("GetModel", Errors.of(Status.Code.UNAVAILABLE, "DRAINING", "bye", Errors.retryAfter(60_000)));
    long begin = System.nanoTime();
    assertThrows(UnavailableException.class, () -> client.model("models/1"));
    assertTrue(System.nanoTime() - begin < Duration.ofSeconds(25).toNanos());
  }

  @Test
  void pagesAreFetchedAsNeeded() {
    for (int i = 0; i < 5; i++) {
      Uploads.send(client.connection(), UploadHeader.getDefaultInstance(), List.<UploadDatasetRequest>of()::iterator);
    }
    List<String> names = new ArrayList<>();
    Iterable<Dataset> all = client.datasets();
    assertEquals(0, server.calls("ListDatasets").size());
    all.iterator().next();
    assertEquals(1, server.calls("ListDatasets").size());
    all.forEach(dataset -> names.add(dataset.getName()));
    assertEquals(List.of("datasets/1", "datasets/2", "datasets/3", "datasets/4", "datasets/5"), names);
    assertEquals(4, server.calls("ListDatasets").size());
    assertEquals(List.of("models/1"), client.deleteDataset("datasets/3"));
    assertThrows(NotFoundException.class, () -> client.dataset("datasets/3"));
  }

  @Test
  void aClosedClientSaysSo() {
    KohortClient view = client.withTimeouts(Timeouts.DEFAULT);
    client.close();
    client.close();
    IllegalStateException error = assertThrows(IllegalStateException.class, () -> view.model("models/1"));
    assertEquals("the client is closed", error.getMessage());
  }

  @Test
  void closingEndsAWaitBetweenTries() {
    server.refuse("GetModel", Errors.of(Status.Code.UNAVAILABLE, "DRAINING", "bye", Errors.retryAfter(20_000)));
    CompletableFuture<Object> asking = CompletableFuture.supplyAsync(() -> client.model("models/1"));
    TransferTest.await(() -> !server.calls("GetModel").isEmpty());
    client.close();
    Throwable error = assertThrows(Exception.class, asking::join).getCause();
    assertInstanceOf(CallCancelledException.class, error);
    assertEquals("CANCELLED: the client was closed", error.getMessage());
  }

  @Test
  void interruptingAWaitKeepsTheFlag() {
    server.refuse("GetModel", Errors.of(Status.Code.UNAVAILABLE, "DRAINING", "bye", Errors.retryAfter(20_000)));
    Thread.currentThread().interrupt();
    RpcException error = assertThrows(CallCancelledException.class, () -> client.model("models/1"));
    assertTrue(Thread.interrupted());
    assertEquals("CANCELLED: the waiting thread was interrupted", error.getMessage());
  }

  @Test
  void interruptingACallCancelsIt() {
    server.ignore("GetModel");
    Thread asking = Thread.currentThread();
    CompletableFuture.runAsync(
        () -> {
          TransferTest.await(() -> !server.calls("GetModel").isEmpty());
          asking.interrupt();
        });
    RpcException error = assertThrows(CallCancelledException.class, () -> client.model("models/1"));
    assertTrue(Thread.interrupted());
    assertEquals("CANCELLED: the waiting thread was interrupted", error.getMessage());
    TransferTest.await(() -> server.calls("GetModel").get(0).cancelled());
  }

  @Test
  void closingEndsACall() {
    server.ignore("GetModel");
    CompletableFuture<Object> asking = CompletableFuture.supplyAsync(() -> client.model("models/1"));
    TransferTest.await(() -> !server.calls("GetModel").isEmpty());
    client.close();
    Throwable error = assertThrows(Exception.class, asking::join).getCause();
    assertEquals("CANCELLED: the client was closed", error.getMessage());
  }

  @Test
  void aDeadlineReachesTheServer() {
    client.model("models/1"); // connected, so that the deadline does not pass before
    server.ignore("GetModel");
    KohortClient hasty = client.withTimeouts(Timeouts.DEFAULT.withCall(Duration.ofMillis(300)));
    RpcException error = assertThrows(DeadlineExceededException.class, () -> hasty.model("models/1"));
    assertTrue(error.hint().contains("timeout of this call was over"), error.hint());
    TransferTest.await(() -> server.calls("GetModel").get(1).cancelled());
  }

  @Test
  void aTokenIsTrimmedAndNeverTold() {
    try (KohortClient asking = KohortClient.builder(server.target()).token("secret\n").build()) {
      asking.model("models/1");
    }
    assertEquals("Bearer secret", server.calls("GetModel").get(0).header("authorization"));
    KohortClientBuilder builder = KohortClient.builder(server.target());
    RuntimeException refused = assertThrows(IllegalArgumentException.class, () -> builder.token("se\ncret"));
    assertFalse(refused.getMessage().contains("cret"), refused.getMessage());
    RuntimeException proxy = assertThrows(IllegalArgumentException.class, () -> builder.metadata("x-key", "se\ncret"));
    assertFalse(proxy.getMessage().contains("cret"), proxy.getMessage());
  }

  @Test
  void aTokenThatCannotBeHadFailsTheCallAsItIs() {
    IllegalStateException none = new IllegalStateException("no token");
    try (KohortClient asking =
        KohortClient.builder(server.target())
            .token(
                () -> {
                  throw none;
                })
            .build()) {
      assertEquals(none, assertThrows(IllegalStateException.class, () -> asking.model("models/1")));
    }
  }
}
