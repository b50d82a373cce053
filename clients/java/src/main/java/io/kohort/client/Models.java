// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.BundleInfo;
import io.kohort.v1.DeleteModelRequest;
import io.kohort.v1.DownloadModelRequest;
import io.kohort.v1.DownloadModelResponse;
import io.kohort.v1.GetModelRequest;
import io.kohort.v1.ListModelsRequest;
import io.kohort.v1.ListModelsResponse;
import io.kohort.v1.Model;
import io.kohort.v1.SamplingServiceGrpc;
import java.io.OutputStream;
import java.nio.file.Path;

/** The calls about models that ask one thing. */
final class Models {
  private Models() {}

  static Model get(Connection connection, String name) {
    GetModelRequest request = GetModelRequest.newBuilder().setName(name).build();
    return connection.unary(SamplingServiceGrpc.getGetModelMethod(), request).getModel();
  }

  static Iterable<Model> list(Connection connection) {
    return Pages.of(
        token ->
            connection.unary(
                SamplingServiceGrpc.getListModelsMethod(),
                ListModelsRequest.newBuilder().setPageSize(Pages.SIZE).setPageToken(token).build()),
        ListModelsResponse::getModelsList,
        ListModelsResponse::getNextPageToken);
  }

  static void delete(Connection connection, String name) {
    connection.unary(
        SamplingServiceGrpc.getDeleteModelMethod(), DeleteModelRequest.newBuilder().setName(name).build());
  }

  static void download(Connection connection, String name, Path file) {
    of(name).to(connection, file);
  }

  static void download(Connection connection, String name, OutputStream out) {
    of(name).to(connection, out);
  }

  private static Download<DownloadModelRequest, DownloadModelResponse> of(String name) {
    return new Download<>(
        SamplingServiceGrpc.getDownloadModelMethod(),
        DownloadModelRequest.newBuilder().setName(name).build(),
        message -> {
          BundleInfo header = message.getHeader();
          return message.hasHeader() ? new Download.Header(header.getSizeBytes(), header.getSha256()) : null;
        },
        DownloadModelResponse::getData);
  }
}
