// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.kohort.fake.Errors;
import io.kohort.fake.FakeModels;
import io.kohort.fake.FakeServer;
import io.kohort.fake.FakeTraining;
import io.kohort.v1.Alert;
import io.kohort.v1.JobState;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.Model;
import io.kohort.v1.TrainRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class JobTest {
  private static final int STEPS = 5;
  private static final List<Long> ALL = LongStream.rangeClosed(1, STEPS + 3).boxed().collect(Collectors.toList());
  private static final Retry QUICK =
      Retry.DEFAULT.withBackoff(Duration.ofMillis(1), 1, Duration.ofMillis(1), 0);

  private final FakeTraining training = new FakeTraining(STEPS);
  private final FakeServer server = FakeServer.start(training, new FakeModels());
  private final KohortClient client = KohortClient.builder(server.target()).retry(QUICK).build();

  @AfterEach
  void close() {
    training.release();
    client.close();
    server.close();
  }

  private static List<Long> sequences(Iterator<JobUpdate> updates) {
    List<Long> found = new ArrayList<>();
    while (updates.hasNext()) {
      JobUpdate update = updates.next();
      if (update.hasEvent()) {
        found.add(update.getEvent().getSequence());
      }
    }
    return found;
  }

  @Test
  void trainingAsksForAllThatIsSaid() {
    UUID id = UUID.randomUUID();
    Job job =
        client
            .train("datasets/1")
            .trainer("ctgan")
            .parameter("epochs", 50)
            .parameter("dims", List.of(1, 2L))
            .parameter("pac", true)
            .parameter("rate", 0.5)
            .parameter("mode", "fast")
            .seed(-3)
            .minPatients(4)
            .maxRowsPerPatient(9)
            .weightPatientsEqually()
            .holdout(0)
            .validation(0.3)
            .device("cpu")
            .maxRuntime(Duration.ofMillis(1500))
            .alert(Alert.newBuilder().setMetric("loss").build())
            .displayName("D")
            .label("k", "v")
            .requestId(id)
            .start();
    assertEquals("jobs/1", job.name());
    assertEquals(JobState.JOB_STATE_QUEUED, job.info().getState());
    TrainRequest sent = training.requests().get(0);
    assertEquals("datasets/1", sent.getDataset());
    assertEquals(50, sent.getParameters().getFieldsOrThrow("epochs").getNumberValue());
    assertEquals(2, sent.getParameters().getFieldsOrThrow("dims").getListValue().getValues(1).getNumberValue());
    assertTrue(sent.getParameters().getFieldsOrThrow("pac").getBoolValue());
    assertEquals("fast", sent.getParameters().getFieldsOrThrow("mode").getStringValue());
    assertEquals(-3, sent.getSeed());
    assertTrue(sent.hasHoldoutFraction());
    assertEquals(500_000_000, sent.getMaxRuntime().getNanos());
    assertEquals(id.toString(), sent.getRequestId());
    // The stream is left once the job is known.
    TransferTest.await(() -> server.calls("Train").get(0).cancelled());
  }

  @Test
  void parametersThatNoServerCouldTake() {
    TrainCall call = client.train("datasets/1");
    assertThrows(IllegalArgumentException.class, () -> call.parameter("epochs", (1L << 53) + 2));
    assertThrows(IllegalArgumentException.class, () -> call.parameter("epochs", new Object()));
    assertThrows(IllegalArgumentException.class, () -> call.parameter("epochs", null));
  }

  @Test
  void aTryThatTheServerDidNotTakeIsMadeAgainUnderOneRequestId() {
    server.refuse("Train", FakeServer.unavailable());
    server.refuse("Train", Errors.of(Status.Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", Errors.retryAfter(1)));
    client.train("datasets/1").start();
    assertEquals(3, server.calls("Train").size());
    assertEquals(36, training.requests().get(0).getRequestId().length());
  }

  @Test
  void theHistoryComesOnceAndInOrder() {
    Job job = client.job("jobs/1");
    try (CloseableIterator<JobUpdate> updates = job.events()) {
      assertEquals(ALL, sequences(updates));
    }
    assertEquals(STEPS, job.info().getProgress().getStep() + (job.info().hasProgress() ? 0 : STEPS));
    assertEquals(List.of(7L, 8L), sequences(job.events(6)));
  }

  @Test
  void aBrokenStreamGoesOnWhereItBroke() {
    training.breaking(3, FakeServer.unavailable());
    assertEquals(ALL, sequences(client.job("jobs/1").events()));
    List<Long> from = training.followers().stream().map(f -> f.getAfterSequence()).collect(Collectors.toList());
    assertEquals(List.of(0L, 2L, 4L, 6L), from);
  }

  @Test
  void aStreamThatEndsTooEarlyIsBroken() {
    training.breaking(2, null);
    assertEquals(ALL, sequences(client.job("jobs/1").events()));
  }

  @Test
  void anErrorThatIsNoBreakEndsTheWatch() {
    training.breaking(2, Errors.of(Status.Code.PERMISSION_DENIED, "PERMISSION_DENIED", "no more"));
    CloseableIterator<JobUpdate> updates = client.job("jobs/1").events();
    assertTrue(updates.next().hasJob());
    assertEquals(1, updates.next().getEvent().getSequence());
    assertThrows(PermissionDeniedException.class, updates::hasNext);
    // Who asks again finds no end that looks well.
    assertThrows(PermissionDeniedException.class, updates::next);
  }

  @Test
  void eventsThatTheServerNoLongerKeepsAreSkipped() {
    com.google.rpc.ErrorInfo info =
        com.google.rpc.ErrorInfo.newBuilder()
            .setDomain("kohort")
            .setReason("EVENTS_COMPACTED")
            .putMetadata("oldest", "5")
            .build();
    server.refuse("Status", Errors.with(Status.Code.OUT_OF_RANGE, "compacted", info));
    assertEquals(ALL.subList(4, ALL.size()), sequences(client.job("jobs/1").events()));
  }

  @Test
  void leavingCancelsTheCall() {
    training.hold();
    try (CloseableIterator<JobUpdate> updates = client.job("jobs/1").events()) {
      updates.next();
    }
    TransferTest.await(() -> server.calls("Status").get(0).cancelled());
  }

  @Test
  void anotherThreadCanEndAWait() throws Exception {
    training.hold();
    CloseableIterator<JobUpdate> updates = client.job("jobs/1").events();
    CompletableFuture<List<Long>> reading = CompletableFuture.supplyAsync(() -> sequences(updates));
    TransferTest.await(() -> training.sent() >= STEPS + 2);
    updates.close();
    assertEquals(ALL.subList(0, reading.get(9, TimeUnit.SECONDS).size()), reading.join());
  }

  @Test
  void theResultIsTheModel() {
    Job job = client.train("datasets/1").start();
    assertEquals("models/1", job.result().getName());
    assertEquals(JobState.JOB_STATE_SUCCEEDED, job.info().getState());
    assertEquals("models/1", client.job("jobs/1").resultAsync().join().getName());
  }

  @Test
  void aFailedJobIsNoFailedCall() {
    training.ending(JobState.JOB_STATE_FAILED);
    Job job = client.job("jobs/1");
    JobFailedException error = assertThrows(JobFailedException.class, job::result);
    assertEquals("TRAINING_DIVERGED", error.reason());
    assertEquals("age", error.column());
    assertEquals("jobs/1: TRAINING_DIVERGED: losses are NaN", error.getMessage());
    assertInstanceOf(JobFailedException.class, failure(job.resultAsync()));
  }

  private static Throwable failure(CompletableFuture<?> future) {
    return assertThrows(CompletionException.class, future::join).getCause();
  }

  @Test
  void aJobIsCancelled() {
    training.hold();
    Job job = client.job("jobs/1");
    CompletableFuture<Model> result = job.resultAsync();
    assertEquals(JobState.JOB_STATE_CANCELLING, job.cancel().getState());
    assertInstanceOf(JobCancelledException.class, failure(result));
    assertThrows(JobCancelledException.class, job::report);
  }

  @Test
  void waitingHasALimitWhereOneIsGiven() {
    training.hold();
    Job job = client.job("jobs/1");
    assertThrows(DeadlineExceededException.class, () -> job.result(Duration.ofMillis(300)));
  }

  @Test
  void interruptingAWaitCancelsTheCall() {
    training.hold();
    Job job = client.job("jobs/1");
    Thread waiting = Thread.currentThread();
    CompletableFuture.runAsync(
        () -> {
          TransferTest.await(() -> training.sent() >= STEPS + 2);
          waiting.interrupt();
        });
    RpcException error = assertThrows(CallCancelledException.class, job::result);
    assertTrue(Thread.interrupted());
    assertEquals("CANCELLED: the waiting thread was interrupted", error.getMessage());
    TransferTest.await(() -> server.calls("Status").get(0).cancelled());
  }

  @Test
  void closingTheClientEndsEveryWait() {
    training.hold();
    Job job = client.job("jobs/1");
    CompletableFuture<Object> blocking = CompletableFuture.supplyAsync(job::result);
    CompletableFuture<Model> future = job.resultAsync();
    TransferTest.await(() -> training.followers().size() == 2);
    client.close();
    assertEquals("CANCELLED: the client was closed", failure(blocking).getMessage());
    assertEquals("CANCELLED: the client was closed", failure(future).getMessage());
  }

  @Test
  void cancellingTheFutureLeavesTheJobAlone() {
    training.hold();
    CompletableFuture<Model> result = client.job("jobs/1").resultAsync();
    TransferTest.await(() -> training.followers().size() == 1);
    result.cancel(true);
    TransferTest.await(() -> server.calls("Status").get(0).cancelled());
    assertTrue(server.calls("Cancel").isEmpty());
  }

  @Test
  void manyHandlesFollowAtOnce() {
    Job job = client.job("jobs/1");
    List<CompletableFuture<Model>> results =
        IntStream.range(0, 20).mapToObj(i -> job.resultAsync()).collect(Collectors.toList());
    results.forEach(result -> assertEquals("models/1", result.join().getName()));
  }
}
