// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.kohort.v1.BundleInfo;
import io.kohort.v1.DownloadModelRequest;
import io.kohort.v1.DownloadModelResponse;
import io.kohort.v1.GetModelRequest;
import io.kohort.v1.GetModelResponse;
import io.kohort.v1.ImportModelRequest;
import io.kohort.v1.ImportModelResponse;
import io.kohort.v1.Model;
import io.kohort.v1.SamplingServiceGrpc;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/** One model, "models/1", whose bundle is so many bytes. */
public class FakeModels extends SamplingServiceGrpc.SamplingServiceImplBase {
  private static final int CHUNK = 1000;

  private final byte[] bundle = new byte[2500];
  private volatile List<ImportModelRequest> imported = List.of();
  private volatile int breakAfter = Integer.MAX_VALUE;
  private volatile boolean altered;

  /** The model. */
  protected Model model() {
    return Model.newBuilder().setName("models/1").setTrainer("fake").setUnit("patient").build();
  }

  /** The bundle. */
  public byte[] bundle() {
    for (int i = 0; i < bundle.length; i++) {
      bundle[i] = (byte) (i * 31);
    }
    return bundle;
  }

  /** The next download breaks after so many messages; 0 also ends it without a header. */
  public void breakDownload(int after) {
    breakAfter = after;
  }

  /** Downloads no longer have their digest. */
  public void alter() {
    altered = true;
  }

  /** The messages of the last import. */
  public List<ImportModelRequest> imported() {
    return imported;
  }

  @Override
  public void getModel(GetModelRequest request, StreamObserver<GetModelResponse> answer) {
    if (!request.getName().equals("models/1")) {
      answer.onError(Errors.of(Status.Code.NOT_FOUND, "MODEL_NOT_FOUND", "no such model"));
      return;
    }
    answer.onNext(GetModelResponse.newBuilder().setModel(model()).build());
    answer.onCompleted();
  }

  @Override
  public void downloadModel(DownloadModelRequest request, StreamObserver<DownloadModelResponse> answer) {
    byte[] bytes = bundle().clone();
    List<DownloadModelResponse> messages = new ArrayList<>();
    BundleInfo info =
        BundleInfo.newBuilder().setSizeBytes(bytes.length).setSha256(ByteString.copyFrom(sha256(bytes))).build();
    messages.add(DownloadModelResponse.newBuilder().setHeader(info).build());
    if (altered) {
      bytes[bytes.length / 2]++;
    }
    for (int start = 0; start < bytes.length; start += CHUNK) {
      ByteString data = ByteString.copyFrom(bytes, start, Math.min(CHUNK, bytes.length - start));
      messages.add(DownloadModelResponse.newBuilder().setData(data).build());
    }
    int limit = breakAfter;
    breakAfter = Integer.MAX_VALUE;
    for (int i = 0; i < messages.size(); i++) {
      if (i == limit) {
        answer.onError(FakeServer.unavailable());
        return;
      }
      answer.onNext(messages.get(i));
    }
    answer.onCompleted();
  }

  @Override
  public StreamObserver<ImportModelRequest> importModel(StreamObserver<ImportModelResponse> answer) {
    List<ImportModelRequest> messages = new ArrayList<>();
    return new StreamObserver<>() {
      @Override
      public void onNext(ImportModelRequest message) {
        messages.add(message);
      }

      @Override
      public void onError(Throwable left) {
        // Nothing is kept of a stream that breaks.
      }

      @Override
      public void onCompleted() {
        imported = List.copyOf(messages);
        answer.onNext(ImportModelResponse.newBuilder().setModel(model()).build());
        answer.onCompleted();
      }
    };
  }

  private static byte[] sha256(byte[] bytes) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
