output "configuration" {
  description = "The scheduler block of tminus's configuration."
  value = {
    eventScheduler = merge({
      scheme             = "aws"
      api                = var.api
      region             = local.region
      scheduleRole       = aws_iam_role.schedules.arn
      targetName         = aws_sqs_queue.schedules.arn
      scheduleNamePrefix = var.schedule_name_prefix
    }, local.scheduler ? { group = var.group, deadLetterQueue = aws_sqs_queue.dead.arn } : {})
    workflowExecutor = {
      scheme            = "aws"
      region            = local.region
      scheduleQueueName = aws_sqs_queue.schedules.name
      accountId         = local.account
    }
  }
}

output "policy_arn" {
  description = "The policy to attach to the identity that tminus runs as."
  value       = aws_iam_policy.tminus.arn
}

output "dead_letter_queue_url" {
  description = "Where messages go that no tminus could take."
  value       = aws_sqs_queue.dead.url
}
