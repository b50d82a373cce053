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

/** The calls about reports and the release policy that ask one thing. */
final class Reports {
  private Reports() {}

  static Report get(Connection connection, String name) {
    GetReportRequest request = GetReportRequest.newBuilder().setName(name).build();
    return connection.unary(EvaluationServiceGrpc.getGetReportMethod(), request).getReport();
  }

  static Iterable<Report> list(Connection connection, String model) {
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

  static void download(Connection connection, String name, ReportFormat format, Path file) {
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

  static void delete(Connection connection, String name) {
    connection.unary(
        EvaluationServiceGrpc.getDeleteReportMethod(), DeleteReportRequest.newBuilder().setName(name).build());
  }

  static ReleasePolicy policy(Connection connection) {
    return connection
        .unary(EvaluationServiceGrpc.getGetReleasePolicyMethod(), GetReleasePolicyRequest.getDefaultInstance())
        .getPolicy();
  }

  static ReleasePolicy updatePolicy(Connection connection, ReleasePolicy policy) {
    return update(connection, UpdateReleasePolicyRequest.newBuilder().setPolicy(policy).build());
  }

  static ReleasePolicy resetPolicy(Connection connection) {
    return update(connection, UpdateReleasePolicyRequest.newBuilder().setReset(true).build());
  }

  private static ReleasePolicy update(Connection connection, UpdateReleasePolicyRequest request) {
    return connection.unary(EvaluationServiceGrpc.getUpdateReleasePolicyMethod(), request).getPolicy();
  }

  static Release override(Connection connection, String model, ReleaseState state, String reason) {
    OverrideReleaseRequest request =
        OverrideReleaseRequest.newBuilder().setModel(model).setState(state).setReason(reason).build();
    return connection.unary(EvaluationServiceGrpc.getOverrideReleaseMethod(), request).getRelease();
  }
}
