# What tminus needs in AWS where that keeps time: the queue that rules send to, the
# role with which they do, and the policy of the identity that tminus runs as.
# `tminus aws policy` prints the same policies.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  # arn:PARTITION:sqs:REGION:ACCOUNT:NAME, which all versions of the provider agree on.
  queue     = split(":", aws_sqs_queue.schedules.arn)
  partition = local.queue[1]
  region    = local.queue[3]
  account   = local.queue[4]
  scheduler = var.api == "scheduler"
  names     = var.schedule_name_prefix == "" ? "*" : "${var.schedule_name_prefix}_*"
  rules     = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.names}"
  schedules = "arn:${local.partition}:scheduler:${local.region}:${local.account}:schedule/${var.group}/${local.names}"
  sender    = local.scheduler ? "scheduler.amazonaws.com" : "events.amazonaws.com"
}

resource "aws_sqs_queue" "schedules" {
  name                       = var.name
  message_retention_seconds  = var.message_retention_seconds
  visibility_timeout_seconds = 60
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = var.max_receive_count
  })
  tags = var.tags
}

# What no tminus could take, after many tries. Messages that launch nothing are
# dead letters of tminus's own, and not here.
resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

# EventBridge Scheduler sends with the role, and rules by the queue's leave.
resource "aws_sqs_queue_policy" "schedules" {
  count     = local.scheduler ? 0 : 1
  queue_url = aws_sqs_queue.schedules.url
  policy    = data.aws_iam_policy_document.queue.json
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "FromRules"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.schedules.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [local.rules]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "schedules" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "Assume"
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = [local.sender]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role_policy" "send" {
  name   = "send"
  role   = aws_iam_role.schedules.id
  policy = data.aws_iam_policy_document.send.json
}

data "aws_iam_policy_document" "send" {
  statement {
    sid       = "Send"
    actions   = ["sqs:SendMessage"]
    resources = local.scheduler ? [aws_sqs_queue.schedules.arn, aws_sqs_queue.dead.arn] : [aws_sqs_queue.schedules.arn]
  }
}

resource "aws_scheduler_schedule_group" "this" {
  count = local.scheduler && var.group != "default" ? 1 : 0
  name  = var.group
  tags  = var.tags
}

resource "aws_iam_policy" "tminus" {
  name        = "${var.name}-tminus"
  description = "What tminus does in AWS: it puts rules, and reads the queue that they send to"
  policy      = data.aws_iam_policy_document.tminus.json
  tags        = var.tags
}

data "aws_iam_policy_document" "tminus" {
  dynamic "statement" {
    for_each = local.scheduler ? [] : [1]
    content {
      sid       = "Rules"
      actions   = ["events:PutRule", "events:PutTargets", "events:DeleteRule", "events:RemoveTargets"]
      resources = [local.rules]
    }
  }
  # Optional: without these tminus cannot look before it overwrites, nor compare.
  dynamic "statement" {
    for_each = local.scheduler ? [] : [1]
    content {
      sid       = "RulesOptional"
      actions   = ["events:DescribeRule", "events:ListTargetsByRule"]
      resources = [local.rules]
    }
  }
  dynamic "statement" {
    for_each = local.scheduler ? [] : [1]
    content {
      sid       = "RulesListOptional"
      actions   = ["events:ListRules"]
      resources = ["*"]
    }
  }
  dynamic "statement" {
    for_each = local.scheduler ? [1] : []
    content {
      sid       = "Schedules"
      actions   = ["scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule"]
      resources = [local.schedules]
    }
  }
  dynamic "statement" {
    for_each = local.scheduler ? [1] : []
    content {
      sid       = "SchedulesList"
      actions   = ["scheduler:ListSchedules"]
      resources = ["*"]
    }
  }
  statement {
    sid       = "PassRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.schedules.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = [local.sender]
    }
  }
  statement {
    sid       = "Queue"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl"]
    resources = [aws_sqs_queue.schedules.arn]
  }
  # Optional: how many messages wait.
  statement {
    sid       = "QueueOptional"
    actions   = ["sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.schedules.arn]
  }
}

# Messages that nobody takes: the executor is gone, or cannot.
resource "aws_cloudwatch_metric_alarm" "age" {
  alarm_name          = "${var.name}-age"
  alarm_description   = "Messages wait in ${var.name}: no tminus with workflowExecutor.scheme aws takes them"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.schedules.name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_age_seconds
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}
