"""Reads what others wrote: downloads, archives, TFRecord, COCO, folders."""
