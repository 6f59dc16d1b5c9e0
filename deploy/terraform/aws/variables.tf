variable "name" {
  description = "Name of the queue, of the role, and the beginning of all other names."
  type        = string
  default     = "flyte-schedules"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,60}$", var.name))
    error_message = "Use up to 60 letters, digits, - and _."
  }
}

variable "schedule_name_prefix" {
  description = "scheduler.eventScheduler.scheduleNamePrefix of tminus; one for each installation that shares an account."
  type        = string
  default     = "flyte"
  validation {
    condition     = can(regex("^[.A-Za-z0-9_-]{0,43}$", var.schedule_name_prefix))
    error_message = "Use up to 43 letters, digits, and . - _."
  }
}

variable "api" {
  description = "scheduler.eventScheduler.api of tminus: rules (CloudWatch Events) or scheduler (EventBridge Scheduler)."
  type        = string
  default     = "rules"
  validation {
    condition     = contains(["rules", "scheduler"], var.api)
    error_message = "Use rules or scheduler."
  }
}

variable "group" {
  description = "Schedule group (api scheduler). One other than default is made."
  type        = string
  default     = "default"
}

variable "message_retention_seconds" {
  description = "How long messages wait that nobody takes."
  type        = number
  default     = 345600
}

variable "max_receive_count" {
  description = "After how many receives a message goes to the dead-letter queue. tminus takes none while its database is down."
  type        = number
  default     = 20
}

variable "alarm_age_seconds" {
  description = "How old the oldest message may be before the alarm."
  type        = number
  default     = 300
}

variable "alarm_actions" {
  description = "ARNs of what the alarm tells, such as an SNS topic."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
