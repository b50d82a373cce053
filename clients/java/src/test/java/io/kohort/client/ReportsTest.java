// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kohort.fake.FakeEvaluation;
import io.kohort.fake.FakeServer;
import io.kohort.fake.FakeTraining;
import io.kohort.v1.EvaluateRequest;
import io.kohort.v1.EvaluationOptions;
import io.kohort.v1.JobKind;
import io.kohort.v1.JobState;
import io.kohort.v1.Release;
import io.kohort.v1.ReleasePolicy;
import io.kohort.v1.ReleaseState;
import io.kohort.v1.ReportFormat;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class ReportsTest {
  private static final byte[] FILE = {1, 2, 3};

  private final FakeEvaluation evaluation = new FakeEvaluation(FILE, Digests.sha256().digest(FILE));
  private final FakeTraining training = new FakeTraining(1);
  private final FakeServer server = FakeServer.start(evaluation, training);
  private final KohortClient client = KohortClient.connect(server.target());

  @AfterEach
  void close() {
    client.close();
    server.close();
  }

  @Test
  void aModelIsEvaluated() {
    EvaluationOptions options = EvaluationOptions.newBuilder().addTargets("sex").build();
    Job job = client.evaluate("models/1").options(options).displayName("D").label("k", "v").start();
    assertEquals(JobKind.JOB_KIND_EVALUATE, job.info().getKind());
    assertEquals("reports/1", job.report().getName());
    EvaluateRequest sent = evaluation.requests().get(0);
    assertEquals("models/1", sent.getModel());
    assertEquals(options, sent.getOptions());
    assertEquals(36, sent.getRequestId().length());
  }

  @Test
  void anEvaluationThatIsOverIsKnownByItsReport() {
    Job job = client.evaluate("datasets/1", "datasets/2").holdout("datasets/3").start();
    assertEquals("jobs/1", job.name());
    EvaluateRequest sent = evaluation.requests().get(0);
    assertEquals("datasets/1", sent.getSyntheticDataset());
    assertEquals("datasets/2", sent.getDataset());
    assertEquals("datasets/3", sent.getHoldoutDataset());
  }

  @Test
  void whatFailedHasNoReport() {
    training.ending(JobState.JOB_STATE_FAILED);
    assertThrows(JobFailedException.class, () -> client.evaluate("models/1").start().report());
  }

  @Test
  void reportsAreReadListedAndDeleted(@TempDir Path folder) throws Exception {
    Reports reports = client.reports();
    assertEquals("jobs/1", reports.get("reports/1").getJob());
    assertThrows(NotFoundException.class, () -> reports.get("reports/2"));
    assertTrue(reports.list().iterator().hasNext());
    assertFalse(reports.list("models/2").iterator().hasNext());
    Path file = folder.resolve("report.html");
    reports.download("reports/1", ReportFormat.REPORT_FORMAT_HTML, file);
    assertArrayEquals(FILE, Files.readAllBytes(file));
    reports.delete("reports/1");
    assertEquals(1, server.calls("DeleteReport").size());
  }

  @Test
  void thePolicyIsThatOfWhoReadItLast() {
    Reports reports = client.reports();
    ReleasePolicy read = reports.policy();
    ReleasePolicy mine = reports.updatePolicy(read.toBuilder().setMinHoldoutPatients(7).build());
    assertEquals(7, mine.getMinHoldoutPatients());
    assertThrows(ConflictException.class, () -> reports.updatePolicy(read));
    assertEquals(0, reports.resetPolicy().getMinHoldoutPatients());
    Release release = reports.override("models/1", ReleaseState.RELEASE_STATE_OPEN, "it was looked at");
    assertEquals(ReleaseState.RELEASE_STATE_OPEN, release.getState());
  }
}
