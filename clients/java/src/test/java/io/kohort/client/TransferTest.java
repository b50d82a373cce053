// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.kohort.fake.Errors;
import io.kohort.fake.FakeDatasets;
import io.kohort.fake.FakeModels;
import io.kohort.fake.FakeServer;
import io.kohort.v1.Dataset;
import io.kohort.v1.ImportModelRequest;
import io.kohort.v1.TableSchema;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadFormat;
import io.kohort.v1.UploadHeader;
import java.io.ByteArrayOutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class TransferTest {
  private static final Retry QUICK =
      Retry.DEFAULT.withBackoff(Duration.ofMillis(1), 1, Duration.ofMillis(1), 0);

  @TempDir Path folder;

  private final FakeDatasets datasets = new FakeDatasets();
  private final FakeModels models = new FakeModels();
  private final FakeServer server = FakeServer.start(datasets, models);
  private final KohortClient client = KohortClient.builder(server.target()).retry(QUICK).build();

  @AfterEach
  void close() {
    client.close();
    server.close();
  }

  private Path file(String name, int size) throws Exception {
    byte[] content = new byte[size];
    for (int i = 0; i < size; i++) {
      content[i] = (byte) (i * 31 + i / 1000);
    }
    return Files.write(folder.resolve(name), content);
  }

  private static ByteString content(List<UploadDatasetRequest> upload) {
    ByteString content = ByteString.EMPTY;
    for (UploadDatasetRequest message : upload.subList(1, upload.size())) {
      assertTrue(message.getChunk().getData().size() <= 1 << 20);
      content = content.concat(message.getChunk().getData());
    }
    return content;
  }

  @Test
  void aFileIsSentAsItIs() throws Exception {
    Path file = file("patients.PQ", 3_500_000);
    UUID id = UUID.randomUUID();
    Instant now = Instant.now();
    Dataset stored =
        client
            .upload(file)
            .table("heart")
            .schema(TableSchema.newBuilder().setName("other").setTimeColumn("seen").build())
            .subjectKey("patient")
            .displayName("Heart")
            .label("ward", "7b")
            .expiresIn(Duration.ofDays(2))
            .deleteAfterTraining()
            .requestId(id)
            .send();
    assertEquals("datasets/1", stored.getName());
    List<UploadDatasetRequest> sent = datasets.uploads().get(0);
    assertEquals(1 + 4, sent.size());
    assertArrayEquals(Files.readAllBytes(file), content(sent).toByteArray());
    UploadHeader header = sent.get(0).getHeader();
    assertEquals(id.toString(), header.getRequestId());
    assertEquals(UploadFormat.UPLOAD_FORMAT_PARQUET, header.getFormat());
    TableSchema table = header.getSchema().getTables(0);
    assertEquals("heart", table.getName());
    assertEquals("patient", table.getSubjectKey());
    assertEquals("seen", table.getTimeColumn());
    assertEquals("heart", header.getDigests(0).getTable());
    assertEquals(
        ByteString.copyFrom(Digests.sha256().digest(Files.readAllBytes(file))), header.getDigests(0).getSha256());
    assertEquals("Heart", header.getDisplayName());
    assertEquals("7b", header.getLabelsOrThrow("ward"));
    assertTrue(header.getDeleteAfterTraining());
    long days = header.getExpireTime().getSeconds() - now.getEpochSecond();
    assertTrue(days >= 2 * 86_400 - 1 && days <= 2 * 86_400 + 60, String.valueOf(days));
  }

  @Test
  void anUploadWhoseAnswerIsLostIsSentAgainUnderOneRequestId() throws Exception {
    datasets.loseAnswers(2);
    assertEquals("datasets/1", client.upload(file("a.csv", 10)).send().getName());
    assertEquals(3, datasets.uploads().size());
    assertEquals(1, datasets.datasets().size());
    assertFalse(datasets.uploads().get(0).get(0).getHeader().getRequestId().isEmpty());
    assertEquals(datasets.uploads().get(0), datasets.uploads().get(2));
  }

  @Test
  void eachSendOfACallIsAnUploadOfItsOwn() throws Exception {
    FileUpload upload = client.upload(file("a.csv", 0));
    assertEquals("datasets/1", upload.send().getName());
    assertEquals("datasets/2", upload.send().getName());
    assertEquals(1, datasets.uploads().get(1).get(0).getHeader().getDigestsCount());
  }

  @Test
  void aServerThatRefusesIsNotSentTheRest() throws Exception {
    server.refuse("UploadDataset", Errors.of(Status.Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", "too large"));
    RpcException error =
        assertThrows(OverloadedException.class, () -> client.upload(file("a.csv", 4_000_000)).send());
    assertEquals("LIMIT_EXCEEDED", error.reason());
  }

  @Test
  void filesOfOtherKindsAndMissingOnes() {
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> client.upload(folder.resolve("a.txt")));
    assertEquals(
        "the file's name must end in one of .csv, .parquet, .pq, .xlsx; this one ends in .txt", error.getMessage());
    FileUpload upload = client.upload(folder.resolve("missing.csv"));
    assertThrows(UncheckedIOException.class, upload::send);
    assertThrows(UncheckedIOException.class, () -> client.importModel(folder.resolve("missing")).send());
  }

  @Test
  void whatThePartsThrowEndsTheCall() {
    IllegalStateException thrown = new IllegalStateException("no more");
    Iterator<UploadDatasetRequest> parts =
        Stream.<UploadDatasetRequest>generate(
                () -> {
                  throw thrown;
                })
            .iterator();
    UploadHeader header = UploadHeader.getDefaultInstance();
    assertEquals(
        thrown,
        assertThrows(IllegalStateException.class, () -> Uploads.send(client.connection(), header, () -> parts)));
    await(() -> server.calls("UploadDataset").stream().allMatch(FakeServer.Call::cancelled));
    assertEquals(0, datasets.uploads().size());
  }

  @Test
  void interruptingAnUploadCancelsIt() {
    UploadHeader header = UploadHeader.getDefaultInstance();
    Thread uploading = Thread.currentThread();
    Iterator<UploadDatasetRequest> parts =
        Stream.generate(
                () -> {
                  uploading.interrupt();
                  return UploadDatasetRequest.getDefaultInstance();
                })
            .iterator();
    assertThrows(CallCancelledException.class, () -> Uploads.send(client.connection(), header, () -> parts));
    assertTrue(Thread.interrupted());
    await(() -> server.calls("UploadDataset").stream().allMatch(FakeServer.Call::cancelled));
  }

  @Test
  void aDownloadIsWholeOrNotThere() throws Exception {
    Path target = folder.resolve("bundle");
    models.breakDownload(2);
    client.download("models/1", target);
    assertArrayEquals(models.bundle(), Files.readAllBytes(target));
    assertEquals(2, server.calls("DownloadModel").size());
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    client.download("models/1", out);
    assertArrayEquals(models.bundle(), out.toByteArray());

    models.alter();
    IntegrityException error =
        assertThrows(IntegrityException.class, () -> client.download("models/1", folder.resolve("other")));
    assertEquals("the download does not have its digest", error.getMessage());
    assertThrows(IntegrityException.class, () -> client.download("models/1", target));
    out.reset();
    assertThrows(IntegrityException.class, () -> client.download("models/1", out));
    assertEquals(0, out.size());
    assertArrayEquals(models.bundle(), Files.readAllBytes(target));
    try (Stream<Path> left = Files.list(folder)) {
      assertEquals(List.of(target), left.collect(java.util.stream.Collectors.toList()));
    }
    assertThrows(
        UncheckedIOException.class, () -> client.download("models/1", folder.resolve("missing").resolve("a")));
  }

  @Test
  void aBundleIsImported() throws Exception {
    Path bundle = file("bundle", 1_500_000);
    assertEquals("models/1", client.importModel(bundle).displayName("Mine").label("a", "b").send().getName());
    List<ImportModelRequest> sent = models.imported();
    assertEquals(3, sent.size());
    assertEquals(36, sent.get(0).getHeader().getRequestId().length());
    assertEquals("Mine", sent.get(0).getHeader().getDisplayName());
    assertEquals(
        ByteString.copyFrom(Digests.sha256().digest(Files.readAllBytes(bundle))),
        sent.get(0).getHeader().getSha256());
  }

  /** Waits until something is so, which takes no time unless something is wrong. */
  static void await(java.util.function.BooleanSupplier condition) {
    long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, "waited in vain");
      Thread.yield();
    }
  }
}
