"""Training buffers: events gathered for training, handed out in batches, and let go only after success."""

from gemel.core.stream.buffers._batch import Batch, BufferSpec
from gemel.core.stream.buffers._buffer import TrainingBuffer

__all__ = ["Batch", "BufferSpec", "TrainingBuffer"]
