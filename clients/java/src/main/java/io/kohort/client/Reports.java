// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.DeleteReportRequest;
import io.kohort.v1.DownloadReportRequest;
import io.kohort.v1.DownloadReportResponse;
import io.kohort.v1.EvaluationServiceGrpc;
import io.kohort.v1.GetReleasePolicyRequest;
import io.kohort.v1.GetReportRequest;
import io.kohort.v1.ListReportsRequest;
import io.kohort.v1.ListReportsResponse;
import io.kohort.v1.OverrideReleaseRequest;
import io.kohort.v1.Release;
import io.kohort.v1.ReleasePolicy;
import io.kohort.v1.ReleaseState;
import io.kohort.v1.Report;
import io.kohort.v1.ReportFile;
import io.kohort.v1.ReportFormat;
import io.kohort.v1.UpdateReleasePolicyRequest;
import java.nio.file.Path;
import java.util.Objects;

/**
 * Reports and the release policy. A report holds statistics of real patients: all of this but {@link #policy()} needs
 * the role custodian. Safe to use from several threads.
 */
public final class Reports {
  private final Connection connection;

  Reports(Connection connection) {
    this.connection = connection;
  }

  /**
   * One report. One that is longer than a message lacks its largest figures, and says so.
   *
   * @param name "reports/{id}"
   * @return the report
   * @throws NotFoundException there is none
   */
  public Report get(String name) {
    GetReportRequest request = GetReportRequest.newBuilder().setName(name).build();
    return connection.unary(EvaluationServiceGrpc.getGetReportMethod(), request).getReport();
  }

  /**
   * All reports, newest first, without metrics and figures.
   *
   * @return pages are fetched as needed, from the first for each iterator
   */
  public Iterable<Report> list() {
    return list("");
  }

  /**
   * The reports of one model, newest first, without metrics and figures.
   *
   * @param model "models/{id}"
   * @return pages are fetched as needed, from the first for each iterator
   */
  public Iterable<Report> list(String model) {
    Objects.requireNonNull(model);
    return Pages.of(
        token ->
            connection.unary(
                EvaluationServiceGrpc.getListReportsMethod(),
                ListReportsRequest.newBuilder()
                    .setPageSize(Pages.SIZE)
                    .setPageToken(token)
                    .setModel(model)
                    .build()),
        ListReportsResponse::getReportsList,
        ListReportsResponse::getNextPageToken);
  }

  /**
   * Downloads a report: whole and with its digest, or not at all.
   *
   * @param name "reports/{id}"
   * @param format as what
   * @param file where to; replaced once everything is there
   * @throws IntegrityException what came is not what the server announced
   * @throws java.io.UncheckedIOException the file cannot be written
   */
  public void download(String name, ReportFormat format, Path file) {
    new Download<DownloadReportRequest, DownloadReportResponse>(
            EvaluationServiceGrpc.getDownloadReportMethod(),
            DownloadReportRequest.newBuilder().setName(name).setFormat(format).build(),
            message -> {
              ReportFile header = message.getHeader();
              return message.hasHeader() ? new Download.Header(header.getSizeBytes(), header.getSha256()) : null;
            },
            DownloadReportResponse::getData)
        .to(connection, file);
  }

  /**
   * Deletes a report. What it said of a model no longer counts.
   *
   * @param name "reports/{id}"
   */
  public void delete(String name) {
    connection.unary(
        EvaluationServiceGrpc.getDeleteReportMethod(), DeleteReportRequest.newBuilder().setName(name).build());
  }

  /**
   * What must hold of a model before its rows may leave.
   *
   * @return the policy in force
   */
  public ReleasePolicy policy() {
    return connection
        .unary(EvaluationServiceGrpc.getGetReleasePolicyMethod(), GetReleasePolicyRequest.getDefaultInstance())
        .getPolicy();
  }

  /**
   * Replaces the policy; it applies to every model at once.
   *
   * @param policy with the etag of the one it replaces, or none for any
   * @return the policy in force
   * @throws ConflictException somebody else changed it since
   */
  public ReleasePolicy updatePolicy(ReleasePolicy policy) {
    return update(UpdateReleasePolicyRequest.newBuilder().setPolicy(policy).build());
  }

  /**
   * Takes the server's default policy.
   *
   * @return the policy in force
   */
  public ReleasePolicy resetPolicy() {
    return update(UpdateReleasePolicyRequest.newBuilder().setReset(true).build());
  }

  private ReleasePolicy update(UpdateReleasePolicyRequest request) {
    return connection.unary(EvaluationServiceGrpc.getUpdateReleasePolicyMethod(), request).getPolicy();
  }

  /**
   * Opens or locks one model whatever the policy says; written down with who, when and why.
   *
   * @param model "models/{id}"
   * @param state open, open with warning or locked; {@code RELEASE_STATE_UNSPECIFIED} takes an override back
   * @param reason 10 to 2,000 characters
   * @return the model's release as it is now
   */
  public Release override(String model, ReleaseState state, String reason) {
    OverrideReleaseRequest request =
        OverrideReleaseRequest.newBuilder().setModel(model).setState(state).setReason(reason).build();
    return connection.unary(EvaluationServiceGrpc.getOverrideReleaseMethod(), request).getRelease();
  }
}
