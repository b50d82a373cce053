// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.util.List;

/**
 * The release policy, or a custodian, keeps what the model makes in the house. The model's {@code release} says
 * why; {@link Reports#override} opens it.
 */
public final class ModelLockedException extends FailedPreconditionException {
  private static final long serialVersionUID = 1;

  ModelLockedException(Failure failure) {
    super(failure);
  }

  /**
   * The metrics of the broken rules.
   *
   * @return empty where a custodian locked it
   */
  public List<String> rules() {
    String rules = metadata().getOrDefault("rules", "");
    return rules.isEmpty() ? List.of() : List.of(rules.split(","));
  }
}
